"""What an environment of OpenEnv 0.10 is written against: `Environment`, `Transform`, and the protocols beside them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation, State
from openenv.environment import TaskProvider, Transform

if TYPE_CHECKING:
    from openenv.core.rubrics import Rubric

__all__ = ["Environment", "Message", "ModelTokenizer", "TaskProvider", "Transform"]

ActT = TypeVar("ActT", bound=Action)
ObsT = TypeVar("ObsT", bound=Observation)
StateT = TypeVar("StateT", bound=State)


class Message(dict[str, Any]):
    """A chat message: ``role`` and ``content``."""


class ModelTokenizer(Protocol):
    """What a text environment asks of a model's tokenizer."""

    def apply_chat_template(
        self, conversation: list[Message], tokenize: bool = True, return_tensors: str | None = None, **kwargs: Any
    ) -> Any:
        """A conversation as tokens or text."""
        ...

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """Tokens as text."""
        ...


class Environment(ABC, Generic[ActT, ObsT, StateT]):
    """An environment of OpenEnv 0.10.

    ``reset``, ``step`` and ``state`` are yours; the asynchronous ``reset_async`` and ``step_async`` are taken instead
    where you write them. Transforms and rubrics are applied when your code says so, with the ``_apply_…`` helpers.
    Whoever makes one natively (`openenv.Environment`) writes less.

    Args:
        transform: For `_apply_transform`.
        rubric: For `_apply_rubric`.
    """

    SUPPORTS_CONCURRENT_SESSIONS: ClassVar[bool] = False
    """Whether a server may have more than one session of this class at once."""
    REQUIRES_SINGLE_THREAD_EXECUTOR: ClassVar[bool] = False
    """Whether all sessions must run on one and the same thread."""

    transform: Transform[ObsT] | None
    rubric: Rubric | None

    def __init__(self, transform: Transform[ObsT] | None = None, rubric: Rubric | None = None) -> None:
        self.transform = transform
        self.rubric = rubric

    @abstractmethod
    def reset(self, *args: Any, **kwargs: Any) -> ObsT:
        """Begin an episode: ``reset(seed=None, episode_id=None, **more)``, or as much of it as yours names."""

    async def reset_async(self, *args: Any, **kwargs: Any) -> ObsT:
        """Begin an episode; override it where resetting waits for something."""
        return self.reset(*args, **kwargs)

    @abstractmethod
    def step(self, action: ActT, *args: Any, **kwargs: Any) -> ObsT:
        """Do one action: ``step(action, timeout_s=None, **more)``, or as much of it as yours names."""

    async def step_async(self, action: ActT, *args: Any, **kwargs: Any) -> ObsT:
        """Do one action; override it where a step waits for something."""
        return self.step(action, *args, **kwargs)

    @property
    @abstractmethod
    def state(self) -> StateT:
        """Where the episode stands."""

    def get_metadata(self) -> EnvironmentMetadata:
        """What ``/metadata`` says."""
        name = type(self).__name__
        return EnvironmentMetadata(name=name, description=f"{name} environment", version="1.0.0")

    def render_web(self, observation: dict[str, Any]) -> str | None:
        """The observation as HTML for the web page; None leaves it to the page."""
        return None

    def web_actions(self, observation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Buttons for the web page: labels with their actions."""
        return []

    def close(self) -> None:
        """Free what the instance holds."""
        return

    def _apply_transform(self, observation: ObsT) -> ObsT:
        return observation if self.transform is None else self.transform(observation)

    def _apply_rubric(self, action: ActT, observation: ObsT) -> float:
        """The rubric's score, 0.0 without one. An asynchronous rubric gives a coroutine: use `_apply_rubric_async`."""
        score: Any = 0.0 if self.rubric is None else self.rubric(action, observation)
        return score  # type: ignore[no-any-return]

    async def _apply_rubric_async(self, action: ActT, observation: ObsT) -> float:
        score: Any = self._apply_rubric(action, observation)
        return float(await score if inspect.isawaitable(score) else score)

    def _reset_rubric(self) -> None:
        if self.rubric is not None:
            self.rubric.reset()

    async def _reset_rubric_async(self) -> None:
        if self.rubric is not None:
            done: Any = self.rubric.reset()  # type: ignore[func-returns-value]
            if inspect.isawaitable(done):
                await done
