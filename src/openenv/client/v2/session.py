"""A session on a server, as one of many on a connection."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any, Generic, SupportsIndex

from typing_extensions import TypeVar

from openenv.client import frames
from openenv.client.settings import positive
from openenv.client.v2.events import EventStream
from openenv.client.v2.forms import Forms, with_ending
from openenv.client.v2.pending import Ask, Seat
from openenv.client.v2.tools import tool_value
from openenv.errors import ServerError, SessionLost, ValidationFailed
from openenv.types import StepResult, Tool

if TYPE_CHECKING:
    from openenv.client.v2.connection import Connection

__all__ = ["RemoteSession", "Snapshot"]

log = logging.getLogger("openenv.client")

ActionT = TypeVar("ActionT", default=Any)
ObservationT = TypeVar("ObservationT", default=Any)
StateT = TypeVar("StateT", default=Any)


class _Default:
    """Stands for the connection's own ``timeout_s``, since ``None`` means none."""


DEFAULT = _Default()
Timeout = float | None | _Default


def limit_of(timeout_s: Timeout, default: float | None) -> float | None:
    """How long a call waits, in seconds; ``None``: for ever. Raises `ConfigurationError` for what is no such number."""
    return default if isinstance(timeout_s, _Default) else positive("timeout_s", timeout_s)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A world as it was: by an id that lives as long as its session, or as bytes that the server has signed."""

    id: str | None
    image: bytes | None
    """What may be kept, and restored in any session of the same environment on servers with the same key."""
    episode_id: str | None
    step_count: int
    result: StepResult[Any] | None = field(default=None, repr=False, compare=False)
    """What its session's `RemoteSession.result` was, which `RemoteSession.restore` gives back."""

    @property
    def kept(self) -> str | bytes | None:
        """What `RemoteSession.restore` sends."""
        return self.id if self.image is None else self.image


class RemoteSession(Generic[ActionT, ObservationT, StateT]):
    """A session with an environment. It outlives lost connections, for as long as the server's lease says.

    Calls of several coroutines happen in the order in which they were made. A cancelled call is taken back where the
    server still can, and the session goes on. Every call takes ``timeout_s``, the connection's own unless it is given.

    Every method raises:
        ServerError: The server refused, or the environment raised; ``code`` is the server's. The session goes on.
        DeadlineExceeded: No answer in ``timeout_s``. The session goes on: what could not be stopped ends first.
        Cancelled: Somebody else took the operation back.
        SessionLost: The session is gone, and why.
    """

    def __init__(self, connection: Connection, seat: Seat, forms: Forms) -> None:
        self._connection = connection  # which lives as long as one of its sessions is in somebody's hands
        self._conversation = connection._conversation
        self._timeout_s = connection._timeout_s
        self._seat = seat
        self._forms = forms
        self.result: StepResult[ObservationT] | None = None
        """What the last ``reset``, ``step`` or ``call_tool`` came to: of a new fork its parent's, after `restore` the snapshot's;
        ``None`` where that is not known."""
        self.episode_id: str | None = None
        """The episode that is played, or has ended; ``None`` where none was begun yet."""

    @property
    def id(self) -> str:
        """Its name on the server."""
        return self._seat.id

    @property
    def connection(self) -> Connection:
        """The connection that carries it."""
        return self._connection

    @property
    def lost(self) -> str | None:
        """Why the session is of no more use; ``None`` while it lives."""
        return self._seat.lost

    async def reset(self, *, timeout_s: Timeout = DEFAULT, **options: Any) -> StepResult[ObservationT]:
        """Begin an episode. ``options`` are what the environment's ``reset`` takes, such as ``seed`` and ``episode_id``."""
        return self._taken(await self._effect("reset", options, timeout_s))

    async def step(self, action: ActionT, *, timeout_s: Timeout = DEFAULT) -> StepResult[ObservationT]:
        """Take one step. It happens once, however often the connection is lost meanwhile."""
        return self._taken(await self._effect("step", self._forms.payload(action), timeout_s))

    async def outcome(self) -> StepResult[ObservationT]:
        """What became of the last call where that raised `DeadlineExceeded` or was cancelled, as soon as it has ended.

        It has to be asked for before the next call that changes something.

        Raises:
            DeadlineExceeded: It was taken back, or stopped: it has not happened. Where the first call raised this because the
                server said nothing, ask once more: this may be the server's late word on that call's deadline.
            ServerError: With the code ``CANCELLED``, likewise.
            ValidationFailed: No call was late, or another one came after it.
        """
        self._seat.check()
        late = self._seat.late
        if late is None or late.ask.op not in ("reset", "step", "call_tool"):
            raise ValidationFailed("No call of this session is late", hint="Ask right after DeadlineExceeded, once.")
        self._seat.late = None
        op = late.ask.op
        answer = _object(await self._conversation.repeat(late), op)
        return self._taken_of_tool(answer) if op == "call_tool" else self._taken(answer)

    async def state(self, *, timeout_s: Timeout = DEFAULT) -> StateT:
        """Where the episode stands; while a step runs, where it stood before."""
        answer = await self._ask(Ask.about("state", self._seat, timeout_s=self._limit(timeout_s)))
        state: StateT = self._forms.state(_object(answer.get("state"), "state"))
        return state

    async def list_tools(self, *, timeout_s: Timeout = DEFAULT) -> list[Tool]:
        """The environment's tools as they are now. `ServerError` with ``UNSUPPORTED`` where it has none."""
        from openenv.client.tools import tool_of

        answer = await self._ask(Ask.about("list_tools", self._seat, timeout_s=self._limit(timeout_s)))
        listed = answer.get("tools")
        if not isinstance(listed, list):
            raise ServerError("The answer to list_tools has no list of tools", code="INTERNAL_ERROR")
        return [tool_of(item) for item in listed]

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None, /, *, timeout_s: Timeout = DEFAULT) -> Any:
        """Call a tool, which is a step, and return its value; `result` then has the step's observation and reward.

        An observation that does not fit the session's types is a dict there: what a tool's step is seen as need not be what
        other steps are.

        Raises:
            ToolNotFound: There is no such tool.
            InvalidArguments: An argument is wrong: ``field`` names it, ``hint`` and ``example`` say what fits.
            ToolFailed: The tool said no; ``code`` says why.
        """
        data = {"name": name, "arguments": dict(arguments or {})}
        answer = await self._effect("call_tool", data, timeout_s)
        if "observation" in answer:
            self._taken_of_tool(answer)
        return tool_value(answer)

    async def snapshot(self, *, export: bool = False, timeout_s: Timeout = DEFAULT) -> Snapshot:
        """Keep the world as it is: under an id, or with ``export`` as bytes. ``UNSUPPORTED`` where it cannot be copied."""
        answer = await self._effect("snapshot", {"export": export}, timeout_s)
        told = answer.get("snapshot")
        try:
            image = self._conversation.encoding.unpack(told) if export else None
        except ValueError as error:
            raise ServerError(f"The answer to snapshot has no bytes: {error}", code="INTERNAL_ERROR") from None
        return Snapshot(None if export else str(told), image, *_episode(answer), self.result)

    async def restore(self, snapshot: Snapshot | str | bytes, *, timeout_s: Timeout = DEFAULT) -> None:
        """Make the world the one of a snapshot: an id of this same session, or exported bytes of any.

        `result` is what it was when the `Snapshot` was made; ``None`` where only its id or its bytes are given.

        Raises:
            ServerError: ``SNAPSHOT_REFUSED`` for one of another environment, version or server, or one that was changed.
        """
        kept = snapshot.kept if isinstance(snapshot, Snapshot) else snapshot
        if not isinstance(kept, str | bytes):
            raise ValidationFailed(
                f"A snapshot is an id or bytes, not {type(kept).__name__}",
                field="snapshot",
                hint="Give what snapshot() returned, or its `id` or `image`.",
            )
        sent = self._conversation.encoding.pack(kept) if isinstance(kept, bytes) else kept
        answer = await self._effect("restore", {"snapshot": sent}, timeout_s)
        self.result = snapshot.result if isinstance(snapshot, Snapshot) else None
        self.episode_id, _ = _episode(answer)

    async def fork(
        self, count: int = 1, *, reseed: Iterable[SupportsIndex] | None = None, timeout_s: Timeout = DEFAULT
    ) -> list[RemoteSession[ActionT, ObservationT, StateT]]:
        """Sessions with copies of this one's world, chance and `result` included. This one goes on as it was.

        Args:
            count: How many.
            reseed: A seed for each, with which its chance goes another way from here on.
            timeout_s: How long to wait.
        """
        data: dict[str, Any] = {"count": count}
        if reseed is not None:
            data["reseed"] = [index(one) for one in reseed]
        ask = Ask.about("fork", self._seat, data, repeat="same", timeout_s=self._limit(timeout_s))
        pending = await self._conversation.begin(ask)
        answer = _object(await self._conversation.wait(pending), "fork")
        result, episode_id = self.result, self.episode_id  # before others go on
        seats = [self._conversation.seat(name, owned=True) for name in session_names(answer)]
        if pending.sent > 1:  # They were made for a connection that may be gone.
            for seat in seats:
                await self._conversation.request(Ask.about("attach", seat))
        children = [RemoteSession(self._connection, seat, self._forms) for seat in seats]
        for child in children:
            child.result, child.episode_id = result, episode_id
        return children

    def events(self, *names: str) -> EventStream:
        """What happens in this session, by the events' names: ``async for event in session.events("environment")``."""
        return EventStream(self._conversation, names, self.id)

    async def detach(self) -> float:
        """Let go of the session; seconds that it goes on living. `Connection.attach` takes it up again."""
        answer = await self._ask(Ask.about("detach", self._seat))
        self._conversation.lose(self._seat, "it was detached")
        lease = answer.get("lease_s")
        return float(lease) if isinstance(lease, int | float) else 0.0

    async def close(self) -> None:
        """End the session: when this returns, its environment is closed. More than one call does no harm."""
        if self._seat.lost is not None:
            return
        try:
            await self._conversation.request(Ask.about("close", self._seat, timeout_s=self._timeout_s))
        except SessionLost:
            return
        self._conversation.lose(self._seat, "it was closed")

    def __repr__(self) -> str:
        return f"<RemoteSession {self.id}{' (lost)' if self.lost else ''}>"

    async def _effect(self, op: str, data: dict[str, Any], timeout_s: Timeout) -> dict[str, Any]:
        return await self._ask(Ask.about(op, self._seat, data, repeat="same", timeout_s=self._limit(timeout_s)))

    async def _ask(self, ask: Ask) -> dict[str, Any]:
        return _object(await self._conversation.request(ask), ask.op)

    def _limit(self, timeout_s: Timeout) -> float | None:
        return limit_of(timeout_s, self._timeout_s)

    def _taken(self, answer: dict[str, Any]) -> StepResult[ObservationT]:
        episode_id = answer.get("episode_id")
        if isinstance(episode_id, str):
            self.episode_id = episode_id
        self.result = result = self._forms.step_result(answer)
        return result

    def _taken_of_tool(self, answer: dict[str, Any]) -> StepResult[ObservationT]:
        try:
            return self._taken(answer)
        except Exception:  # a hook of the client's class may raise anything; the tool has done its work all the same
            log.debug("session %s: the observation of a tool's step is not what its client reads", self.id, exc_info=True)
        self.result = result = with_ending(frames.result_of(answer, None), answer)
        return result


def session_names(answer: Mapping[str, Any]) -> list[str]:
    """The sessions in an answer. Raises `ServerError` where it has none."""
    names = answer.get("sessions")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ServerError("The answer has no list of sessions", code="INTERNAL_ERROR")
    return names


def _object(answer: Any, op: str) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ServerError(f"The answer to {op} is no object", code="INTERNAL_ERROR")
    return answer


def _episode(answer: Mapping[str, Any]) -> tuple[str | None, int]:
    episode, count = answer.get("episode_id"), answer.get("step_count")
    return frames.text_of(episode, "") or None, count if isinstance(count, int) else 0
