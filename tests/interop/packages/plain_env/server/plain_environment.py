"""The sentence itself."""

import random
from uuid import uuid4

from openenv.core.env_server.interfaces import Environment

try:
    from ..models import PlainAction, PlainObservation, PlainState, PlainVerdict
except ImportError:
    from models import PlainAction, PlainObservation, PlainState, PlainVerdict

OPENINGS = ("once", "yesterday", "suddenly")
WORTH = {"yes": True, "two": 2, "half": 0.5, "nothing": None}


class PlainEnvironment(Environment[PlainAction, PlainObservation, PlainState]):
    """Takes more arguments than the framework knows, and never calls its base's constructor."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, language: str = "en"):
        self._language = language
        self._words = []
        self._state = PlainState(episode_id=str(uuid4()), language=language)

    def reset(self, seed=None, episode_id=None, opening=None, **kwargs):
        """``opening`` and whatever else comes are this environment's own."""
        if kwargs.pop("impossible", False):
            raise ValueError("this sentence cannot begin")
        self._state = PlainState(episode_id=episode_id or str(uuid4()), language=self._language)
        self._words = [opening or (random.Random(seed).choice(OPENINGS) if seed is not None else OPENINGS[0])]
        observation = self._seen(reward=None)
        if kwargs:
            observation.metadata = {"origin": "plain", "further": kwargs}
        return observation

    def step(self, action, timeout_s=None, emphasis=None, **kwargs):
        """A full stop ends it."""
        self._state.step_count += 1
        self._state.total_weight += action.weight
        if action.word == "unspeakable":
            raise RuntimeError("that word cannot be said")
        self._words.append(action.word.upper() if emphasis else action.word)
        if action.word.endswith("."):
            worth = len(self._words)
            return PlainVerdict(
                sentence=" ".join(self._words),
                words=self._words,
                reward=worth,
                done=True,
                score=self._state.total_weight,
                letters={action.word[0]},
                counts={worth: (action.word, len(action.word))},
            )
        told = {"tags": action.tags, "timeout_s": timeout_s, "further": kwargs, "sender": action.metadata.get("sender")}
        return self._seen(reward=WORTH.get(action.word, 1.0), metadata={key: value for key, value in told.items() if value})

    @property
    def state(self) -> PlainState:
        return self._state

    def _seen(self, **fields):
        return PlainObservation(sentence=" ".join(self._words), words=list(self._words), **fields)
