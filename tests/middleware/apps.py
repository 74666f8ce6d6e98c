"""Applications behind authentication, for `openenv serve` and for any other ASGI server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from openenv import create_app
from openenv.core.env_server import Action, Environment, Observation, State
from openenv.core.env_server import create_app as create_guest_app
from openenv.middleware import BearerAuth, RateLimit
from tests.support.toys import Notes

SECRET = "a secret of more than thirty-two bytes, and of more than sixty-four"
AUDIENCE = "openenv"
MADE = "a notebook was made\n"
TOKENS: dict[str, dict[str, Any]] = {
    "token-of-anna-0001": {"id": "anna", "scopes": ["create", "reset", "act"]},
    "token-of-gert-0001": {"id": "gert", "scopes": ["create", "reset", "act", "grade"]},
    "token-of-zoe-00001": {"id": "zoe", "tenant": "other", "scopes": ["create", "reset", "act", "grade", "metrics"]},
    "token-of-anna-else": {"id": "anna", "tenant": "other", "scopes": ["create", "reset", "act"]},
    "token-of-prom-0001": {"id": "prometheus", "scopes": ["metrics"]},
    "token-of-nobody-01": {"id": "nobody", "scopes": []},
}


def token_file(folder: Path) -> Path:
    """The tokens as `openenv serve --tokens` reads them."""
    path = folder / "tokens.json"
    path.write_text(json.dumps(TOKENS))
    return path


class Say(Action):
    word: str = ""


class Parrot(Environment[Say, Observation, State]):
    """An environment of OpenEnv 0.10's kind."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Say, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return Observation(metadata={"heard": action.word})

    @property
    def state(self) -> State:
        return State(step_count=0)


class Loud(Notes):
    """Tells when one is made."""

    def __init__(self) -> None:
        super().__init__()
        sys.stderr.write(MADE)


_CHAIN = [BearerAuth(TOKENS, secret=SECRET), RateLimit(5000, refusals=(100, 1000))]

bearer_app = create_app(Notes, env_name="notes", middleware=_CHAIN)
notes_app = create_app(Notes, env_name="notes")
loud_app = create_app(Loud, env_name="notes")
parrot_app = create_guest_app(Parrot, Say, Observation, env_name="parrot", max_concurrent_envs=8)
slow_app = create_app(
    Notes, env_name="notes", middleware=[BearerAuth(TOKENS, secret=SECRET), RateLimit(0.01, 8, refusals=(0.01, 3))]
)
