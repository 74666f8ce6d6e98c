"""What an environment author writes: a class with ``reset`` and ``step``, and a few words about how to run it.

::

    class Echo(Environment[EchoAction, EchoObservation, State]):
        execution = "inline"

        def reset(self, *, seed: int | None = None) -> EchoObservation: ...
        def step(self, action: EchoAction) -> EchoObservation: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, runtime_checkable

from openenv.operation import NO_CONTEXT, Control, Notice, Principal, RequestContext
from openenv.types import ActionT, EnvironmentMetadata, ObservationT, State, StateT

__all__ = [
    "AsyncEnvironment",
    "Context",
    "DatabaseBacked",
    "Environment",
    "Execution",
    "Snapshottable",
    "TaskProvider",
    "Transform",
]

Execution = Literal["inline", "thread", "process"]
"""Where a synchronous environment runs: on the event loop (for steps of microseconds), on a pool of threads, or each world in a
worker process, whose crash, memory and hanging are its own world's.
"""


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks and in which context. Factory, ``reset``, ``step`` and tools that annotate a parameter with it get it."""

    request: RequestContext = NO_CONTEXT
    principal: Principal | None = None
    control: Control | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the caller has given up waiting: long work should look now and then, and end early."""
        return self.control is not None and self.control.cancelled

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the caller how far a long step is; from any thread. Callers that cannot be told are not."""
        if self.control is not None:
            self.control.tell(Notice("progress", progress=progress, total=total, message=message))

    def log(self, message: Any, *, level: str = "info") -> None:
        """Send the caller a line for its log (MCP's ``notifications/message``); from any thread."""
        if self.control is not None:
            self.control.tell(Notice("log", message=message, level=level))

    def header(self, name: str) -> str | None:
        """The declared header ``name``, or ``None`` when the caller did not send it."""
        return self.request.headers.get(name)

    @property
    def query(self) -> Mapping[str, str]:
        """The query string of the handshake or request."""
        return self.request.query


class Transform(ABC, Generic[ObservationT]):
    """Changes an observation on its way out: a reward, a mask, a note."""

    @abstractmethod
    def __call__(self, observation: ObservationT) -> ObservationT:
        """Return the observation to send in place of the given one."""


class _EnvironmentBase(Generic[ActionT, ObservationT, StateT]):
    """What synchronous and asynchronous environments have in common."""

    context_headers: ClassVar[tuple[str, ...]] = ()
    """Request headers (lower case) that make up the context. No other header ever reaches the environment."""
    bare_action: ClassVar[bool] = False
    """Whether ``POST /step`` also takes the action itself, without ``{"action": …}`` around it."""
    auto_reset: ClassVar[bool] = True
    """Whether a session that was never reset is reset before its first step or tool call."""
    takes_arguments_unchecked: ClassVar[bool] = False
    """Whether ``reset`` is handed what was sent as it was sent, its ``episode_id`` too."""
    metadata_by_instance: ClassVar[bool] = False
    """Whether ``/metadata`` has to make an instance and ask it."""
    max_sessions: ClassVar[int | None] = None
    """How many sessions this environment allows a server; ``None`` leaves it to the server."""

    transform: Transform[ObservationT] | None = None
    """Applied to every observation of ``reset`` and ``step``."""
    resumed: bool = False
    """Set by an environment that the factory opened on an existing world (a file): it is not reset unasked."""
    episode_id: str | None = None
    """Set by the runtime before ``reset``."""
    seed: int | None = None
    """The seed of the last reset, set by the runtime before ``reset``."""
    step_count: int = 0
    """Steps of this episode, the running one included; counted by the runtime."""
    on_tools_changed: Callable[[], None] | None = None
    """Set by the runtime; see `tools_changed`."""
    on_event: Callable[[Any], None] | None = None
    """Set by the runtime; see `emit`."""

    def tools_changed(self) -> None:
        """Say, from any thread, that this instance's list of tools is another one now; MCP clients are told."""
        if self.on_tools_changed is not None:
            self.on_tools_changed()

    def emit(self, event: Any) -> None:
        """Tell clients of protocol v2 that listen (the event ``environment``); from any thread, in a step or between two.

        Args:
            event: A JSON value. When 1024 wait for the event loop, another one is dropped and counted.
        """
        if self.on_event is not None:
            self.on_event(event)

    def question(self, name: str) -> Callable[..., Any] | None:
        """The method that answers a question which concerns no episode (`TaskProvider`'s), or None without one."""
        method: Callable[..., Any] | None = getattr(self, name, None)
        return method

    @property
    def state(self) -> StateT:
        """Where the episode stands. Override it to tell more."""
        return State(episode_id=self.episode_id, step_count=self.step_count)  # type: ignore[return-value]

    @classmethod
    def get_metadata(cls) -> EnvironmentMetadata:
        """What ``/metadata`` says. The description is the docstring's first line."""
        name = cls.__name__
        lines = (cls.__doc__ or "").strip().splitlines()
        return EnvironmentMetadata(name=name, description=lines[0] if lines else f"{name} environment", version="1.0.0")

    @classmethod
    def world_name(cls, context: RequestContext) -> str | None:
        """The name of the shared world that this context asks for, or ``None`` for one of the caller's own.

        Raise `openenv.errors.ValidationFailed` for a name that is not allowed: it comes from outside.
        """
        return None

    @classmethod
    def seed_credentials(cls) -> Sequence[tuple[str, str]]:
        """The users of the seed world with their access tokens, for ``openenv envs NAME --tokens``."""
        return ()


class Environment(_EnvironmentBase[ActionT, ObservationT, StateT], ABC):
    """A synchronous environment. One instance is one world; it is never called by two threads at once."""

    execution: ClassVar[Execution] = "thread"
    affinity: ClassVar[bool] = False
    """Whether factory, ``reset``, ``step`` and ``close`` must all run on one thread."""
    process_memory_mb: ClassVar[int] = 1024
    """With ``execution = "process"``: what a worker process may hold, in MiB; 0 is no limit."""
    process_episodes: ClassVar[int] = 1000
    """With ``execution = "process"``: after how many episodes a worker process is replaced; 0 is never."""

    @abstractmethod
    def reset(self, *args: Any, **kwargs: Any) -> ObservationT:
        """Begin a new episode and return its first observation.

        An override names what it takes (``seed``, options, a `Context`); what it does not name is refused before it is
        called. With the same seed it must produce the same episode, ids and timestamps included.
        """

    @abstractmethod
    def step(self, action: ActionT, *args: Any, **kwargs: Any) -> ObservationT:
        """Do one action and return what is to be seen, with ``reward`` and ``done`` set on it."""

    def close(self) -> None:
        """Free what the instance holds. Called once, also when the client vanished in the middle of a step."""
        return


class AsyncEnvironment(_EnvironmentBase[ActionT, ObservationT, StateT], ABC):
    """An environment whose methods are coroutines; it runs on the event loop and must not block it."""

    stops_when_closed: ClassVar[bool] = False
    """Whether a running ``reset`` or ``step`` is cancelled when its world is closed; else the end waits for it."""

    @abstractmethod
    async def reset(self, *args: Any, **kwargs: Any) -> ObservationT:
        """As `Environment.reset`."""

    @abstractmethod
    async def step(self, action: ActionT, *args: Any, **kwargs: Any) -> ObservationT:
        """As `Environment.step`."""

    async def read_state(self) -> StateT:
        """`state`, as the server asks for it. Override it where telling it takes waiting."""
        return self.state

    async def close(self) -> None:
        """As `Environment.close`."""
        return


class TaskProvider(Protocol):
    """An environment with a catalogue of tasks, by split; an `AsyncEnvironment`'s methods may be coroutines.

    Serves ``GET /{env_name}/splits`` and its four companions. Whatever is missing is answered with 501.
    """

    def list_splits(self) -> Sequence[Any]:
        """The splits: names, or objects with ``name`` and ``type`` (train, validation or test)."""
        ...

    def list_tasks(self, split: str) -> Sequence[Any]:
        """The tasks of a split, as JSON."""
        ...

    def num_tasks(self, split: str) -> int:
        """How many there are."""
        ...

    def get_task(self, split: str, index: int) -> Any:
        """One of them. Raises ``IndexError`` where there is none."""
        ...

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> Sequence[Any]:
        """Some of them, as a slice."""
        ...


@runtime_checkable
class DatabaseBacked(Protocol):
    """An environment whose world is a SQLite database: SQL verifiers and state diffs work on it."""

    def database_image(self) -> bytes:
        """The whole database as SQLite's own serialisation; taken between steps, on the environment's lane."""
        ...


@runtime_checkable
class Snapshottable(Protocol):
    """An environment whose world can be had as bytes, and be gone on with from there.

    The methods are called between steps, on the environment's lane. What the runtime keeps (``episode_id``, ``seed``,
    ``step_count``) is none of their business. From an image, the same actions lead to the same observations, identifiers
    and times included, in any instance of the class.

    Raise `openenv.errors.Unsupported` from ``snapshot`` and ``restore`` where this one world cannot be copied.
    """

    snapshot_version: ClassVar[int]
    """The version of the images that ``snapshot`` makes; another one whenever ``restore`` can no longer read the old ones."""

    def snapshot(self) -> bytes:
        """The whole world: its state, its random state, its clock. Never a pickle: reading one runs what it says."""
        ...

    def restore(self, image: bytes) -> None:
        """Make this world the one of the image, whatever it was before.

        The bytes may be anybody's: check that they are an image, and bound what reading them costs. Raise ``ValueError``
        when they are not one, and leave the world as it is.
        """
        ...

    def reseed(self, seed: int) -> None:
        """Replace the random state, and nothing else: what has happened stays, what comes is another chance's.

        Raise ``ValueError`` for a seed that the environment does not take.
        """
        ...
