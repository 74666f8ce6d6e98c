"""The blocking facades of a connection, its sessions, and a vector of environments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsIndex, overload

from pydantic import BaseModel

from openenv.client.sync import BlockingFacade
from openenv.client.v2.batch import Outcome
from openenv.client.v2.connection import Connection
from openenv.client.v2.events import Event, EventStream
from openenv.client.v2.session import DEFAULT, ActionT, ObservationT, RemoteSession, Snapshot, StateT, Timeout
from openenv.client.v2.vector import Autoreset, VectorEnvClient
from openenv.client.v2.wire import EncodingName, Hello
from openenv.errors import OpenEnvError
from openenv.types import StepResult, Tool

if TYPE_CHECKING:
    from openenv.client.core import EnvClient

__all__ = ["SyncConnection", "SyncRemoteSession", "SyncVectorEnvClient"]

Run = Callable[..., Any]


class SyncRemoteSession(Generic[ActionT, ObservationT, StateT]):
    """The verbs of a `RemoteSession`, blocking; they raise what those raise."""

    def __init__(self, session: RemoteSession[ActionT, ObservationT, StateT], run: Run) -> None:
        self._session = session
        self._run = run

    @property
    def async_session(self) -> RemoteSession[ActionT, ObservationT, StateT]:
        """The session underneath."""
        return self._session

    @property
    def id(self) -> str:
        """Its name on the server."""
        return self._session.id

    @property
    def lost(self) -> str | None:
        """Why the session is of no more use; ``None`` while it lives."""
        return self._session.lost

    @property
    def result(self) -> StepResult[ObservationT] | None:
        """What the last ``reset``, ``step`` or ``call_tool`` came to: of a new fork its parent's, after `restore` the snapshot's;
        ``None`` where that is not known."""
        return self._session.result

    @property
    def episode_id(self) -> str | None:
        """The episode that is played, or has ended; ``None`` where none was begun yet."""
        return self._session.episode_id

    def reset(self, *, timeout_s: Timeout = DEFAULT, **options: Any) -> StepResult[ObservationT]:
        """Begin an episode."""
        result: StepResult[ObservationT] = self._run(self._session.reset, timeout_s=timeout_s, **options)
        return result

    def step(self, action: ActionT, *, timeout_s: Timeout = DEFAULT) -> StepResult[ObservationT]:
        """Take one step."""
        result: StepResult[ObservationT] = self._run(self._session.step, action, timeout_s=timeout_s)
        return result

    def outcome(self) -> StepResult[ObservationT]:
        """What became of the last call where that raised `DeadlineExceeded`, as soon as it has ended."""
        result: StepResult[ObservationT] = self._run(self._session.outcome)
        return result

    def state(self, *, timeout_s: Timeout = DEFAULT) -> StateT:
        """Where the episode stands."""
        state: StateT = self._run(self._session.state, timeout_s=timeout_s)
        return state

    def list_tools(self, *, timeout_s: Timeout = DEFAULT) -> list[Tool]:
        """The environment's tools."""
        tools: list[Tool] = self._run(self._session.list_tools, timeout_s=timeout_s)
        return tools

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None, /, *, timeout_s: Timeout = DEFAULT) -> Any:
        """Call a tool and return its value."""
        return self._run(self._session.call_tool, name, arguments, timeout_s=timeout_s)

    def snapshot(self, *, export: bool = False, timeout_s: Timeout = DEFAULT) -> Snapshot:
        """Keep the world as it is."""
        snapshot: Snapshot = self._run(self._session.snapshot, export=export, timeout_s=timeout_s)
        return snapshot

    def restore(self, snapshot: Snapshot | str | bytes, *, timeout_s: Timeout = DEFAULT) -> None:
        """Make the world the one of a snapshot."""
        self._run(self._session.restore, snapshot, timeout_s=timeout_s)

    def fork(
        self, count: int = 1, *, reseed: Iterable[SupportsIndex] | None = None, timeout_s: Timeout = DEFAULT
    ) -> list[SyncRemoteSession[ActionT, ObservationT, StateT]]:
        """Sessions with copies of this one's world."""
        made = self._run(self._session.fork, count, reseed=reseed, timeout_s=timeout_s)
        return [SyncRemoteSession(one, self._run) for one in made]

    def events(self, *names: str) -> SyncEventStream:
        """What happens in this session, by the events' names."""
        return SyncEventStream(self._session.events(*names), self._run)

    def detach(self) -> float:
        """Let go of the session; seconds that it goes on living."""
        lease_s: float = self._run(self._session.detach)
        return lease_s

    def close(self) -> None:
        """End the session."""
        if self._session.lost is None:
            self._run(self._session.close)

    def __repr__(self) -> str:
        return f"<SyncRemoteSession over {self._session!r}>"


class SyncEventStream:
    """An `EventStream`, blocking: ``with session.events("environment") as events: for event in events: …``."""

    def __init__(self, stream: EventStream, run: Run) -> None:
        self._stream = stream
        self._run = run

    def __enter__(self) -> SyncEventStream:
        self._run(self._stream.__aenter__)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run(self._stream.close)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event: Event | None = self._run(self._stream.next_or_none)
        if event is None:
            raise StopIteration
        return event


class SyncConnection(BlockingFacade):
    """The verbs of a `Connection`, blocking; they raise what those raise. Threads may share it: their calls run side by side."""

    _client: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)

    @property
    def async_connection(self) -> Connection:
        """The connection underneath."""
        return self._client

    @property
    def hello(self) -> Hello | None:
        """What the server said of itself."""
        return self._client.hello

    @property
    def base_url(self) -> str:
        """The server's address over HTTP, without a slash at its end."""
        return self._client.base_url

    @property
    def encoding(self) -> EncodingName:
        """What frames are written in."""
        return self._client.encoding

    @property
    def resumes(self) -> int:
        """How often a lost connection was replaced."""
        return self._client.resumes

    @property
    def repeats(self) -> int:
        """How many requests were sent again, because their connection was lost before their answers came."""
        return self._client.repeats

    def events(self, *names: str, session_id: str | None = None) -> SyncEventStream:
        """What happens, by the events' names; about one session that need not be attached, or about all that are."""
        return SyncEventStream(self._client.events(*names, session_id=session_id), self._run)

    @overload
    def open(
        self, count: int = 1, *, client: type[EnvClient[ActionT, ObservationT, StateT]]
    ) -> list[SyncRemoteSession[ActionT, ObservationT, StateT]]: ...

    @overload
    def open(
        self,
        count: int = 1,
        *,
        observation_type: type[BaseModel] | None = None,
        state_type: type[BaseModel] | None = None,
    ) -> list[SyncRemoteSession[Any, Any, Any]]: ...

    def open(self, count: int = 1, **types: Any) -> list[Any]:
        """Open new sessions: all of them, or none."""
        return [SyncRemoteSession(one, self._go_on) for one in self._run(self._client.open, count, **types)]

    @overload
    def attach(
        self, session_id: str, *, client: type[EnvClient[ActionT, ObservationT, StateT]]
    ) -> SyncRemoteSession[ActionT, ObservationT, StateT]: ...

    @overload
    def attach(
        self,
        session_id: str,
        *,
        observation_type: type[BaseModel] | None = None,
        state_type: type[BaseModel] | None = None,
    ) -> SyncRemoteSession[Any, Any, Any]: ...

    def attach(self, session_id: str, **types: Any) -> Any:
        """Take up a session that there is."""
        return SyncRemoteSession(self._run(self._client.attach, session_id, **types), self._go_on)

    def ping(self) -> float:
        """Ask the server for a sign of life; the seconds that it took."""
        seconds: float = self._run(self._client.ping)
        return seconds

    @overload
    def batch(
        self,
        entries: Sequence[tuple[SyncRemoteSession[Any, Any, Any], Any]],
        *,
        errors: Literal["raise"] = "raise",
        timeout_s: Timeout = DEFAULT,
    ) -> list[StepResult[Any]]: ...

    @overload
    def batch(
        self,
        entries: Sequence[tuple[SyncRemoteSession[Any, Any, Any], Any]],
        *,
        errors: Literal["return"],
        timeout_s: Timeout = DEFAULT,
    ) -> list[StepResult[Any] | OpenEnvError]: ...

    def batch(self, entries: Sequence[tuple[SyncRemoteSession[Any, Any, Any], Any]], **how: Any) -> list[Any]:
        """Step many sessions in one frame."""
        results: list[Any] = self._run(self._client.batch, _bare(entries), **how)
        return results

    def as_finished(
        self, entries: Sequence[tuple[SyncRemoteSession[Any, Any, Any], Any]], *, timeout_s: Timeout = DEFAULT
    ) -> Iterator[tuple[int, Outcome]]:
        """Step many sessions in one frame; their places with their results in the order in which they end."""
        outcomes = aiter(self._client.as_finished(_bare(entries), timeout_s=timeout_s))
        while (told := self._run(anext, outcomes, None)) is not None:
            yield told


class SyncVectorEnvClient(BlockingFacade, Generic[ActionT, ObservationT, StateT]):
    """The verbs of a `VectorEnvClient`, blocking; they raise what those raise."""

    _client: VectorEnvClient[ActionT, ObservationT, StateT]

    def __init__(self, vector: VectorEnvClient[ActionT, ObservationT, StateT], run: Run | None = None) -> None:
        super().__init__(vector)
        self._lent = run

    @classmethod
    def of(
        cls,
        sessions: Iterable[SyncRemoteSession[ActionT, ObservationT, StateT]],
        *,
        autoreset: Autoreset = "next_step",
        errors: Literal["raise", "return"] = "raise",
        reset_options: Mapping[str, Any] | None = None,
    ) -> SyncVectorEnvClient[ActionT, ObservationT, StateT]:
        """`VectorEnvClient.of`, for the sessions of a blocking connection; its thread takes the steps."""
        held = list(sessions)
        bare = [one.async_session if isinstance(one, SyncRemoteSession) else one for one in held]
        vector = VectorEnvClient.of(bare, autoreset=autoreset, errors=errors, reset_options=reset_options)
        return cls(vector, held[0]._run)

    def _run(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return (self._lent or super()._run)(method, *args, **kwargs)

    def _go_on(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return (self._lent or super()._go_on)(method, *args, **kwargs)

    @property
    def async_vector(self) -> VectorEnvClient[ActionT, ObservationT, StateT]:
        """The vector underneath."""
        return self._client

    @property
    def num_envs(self) -> int:
        """How many environments."""
        return self._client.num_envs

    @property
    def sessions(self) -> list[SyncRemoteSession[ActionT, ObservationT, StateT]]:
        """The sessions, in order."""
        return [SyncRemoteSession(one, self._go_on) for one in self._client.sessions]

    @property
    def ended(self) -> list[bool]:
        """Whose episodes have ended."""
        return self._client.ended

    @property
    def lost(self) -> dict[int, str]:
        """The environments whose sessions are lost, and why."""
        return self._client.lost

    def reset(
        self,
        *,
        seed: SupportsIndex | Iterable[SupportsIndex | None] | None = None,
        options: Mapping[str, Any] | None = None,
        indices: Iterable[SupportsIndex] | None = None,
        timeout_s: Timeout = DEFAULT,
    ) -> list[StepResult[ObservationT]]:
        """Begin an episode in every environment, or in some."""
        results: list[StepResult[ObservationT]] = self._run(
            self._client.reset, seed=seed, options=options, indices=indices, timeout_s=timeout_s
        )
        return results

    def step(self, actions: Sequence[ActionT], *, timeout_s: Timeout = DEFAULT) -> list[StepResult[ObservationT]]:
        """Take a step in every environment."""
        results: list[StepResult[ObservationT]] = self._run(self._client.step, actions, timeout_s=timeout_s)
        return results

    def restart(self, *indices: int) -> None:
        """Give environments new sessions: those that are lost, unless some are named."""
        self._run(self._client.restart, *indices)

    def __len__(self) -> int:
        return self._client.num_envs


def _bare(entries: Sequence[tuple[SyncRemoteSession[Any, Any, Any], Any]]) -> list[tuple[RemoteSession[Any, Any, Any], Any]]:
    return [(session.async_session, action) for session, action in entries]
