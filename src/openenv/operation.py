"""What every room hands to the next: an operation and its result, who asks and in which context.

A transport's codec makes an `Operation` of bytes, one pipeline carries it to the world it concerns, and the codec makes
bytes of the `Result`. Nothing below ``protocol/`` knows which dialect it came in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from openenv.errors import OpenEnvError
from openenv.types import Reward, State, WireObservation

__all__ = [
    "ALL_SCOPES",
    "ANONYMOUS",
    "LAST_KNOWN",
    "NO_CONTEXT",
    "REQUIRED_SCOPE",
    "Connection",
    "Control",
    "Crossing",
    "Episode",
    "Event",
    "Notice",
    "OpName",
    "Operation",
    "Principal",
    "RequestContext",
    "Result",
]

OpName = Literal[
    "create",
    "close",
    "reset",
    "step",
    "state",
    "list_tools",
    "call_tool",
    "ask",
    "load_scenario",
    "verify",
    "query",
    "export",
    "attach",
    "snapshot",
    "restore",
    "fork",
    "watch",
    "sessions",
    "issue_token",
    "describe",
    "metrics",
    "invalid",
]

REQUIRED_SCOPE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "create": "create",
        "close": "create",
        "reset": "reset",
        "step": "act",
        "state": "act",
        "list_tools": "act",
        "ask": "act",
        "call_tool": "act",
        "load_scenario": "grade",
        "verify": "grade",
        "query": "grade",
        "export": "grade",
        "attach": "act",
        "snapshot": "reset",
        "restore": "reset",
        "fork": "create",
        "watch": "watch",
        "sessions": "create",
        "issue_token": "grade",
        "metrics": "metrics",
    }
)
"""The scope that each operation needs. What is not in the table needs none (an ``invalid`` one is refused anyway)."""

ALL_SCOPES: Final = frozenset({"create", "reset", "act", "grade", "watch", "admin", "metrics"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who may use the server and a session: not who acts inside the world (that is the `RequestContext`)."""

    id: str
    tenant: str = "default"
    scopes: frozenset[str] = ALL_SCOPES
    session: str | None = None
    """When set, the principal may use this session and no other."""
    expires: float | None = None
    """When all this ends, in seconds since 1970; None is never."""


ANONYMOUS: Final = Principal(id="anonymous")
"""Everyone, on a server without authentication: all scopes, one tenant."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who acts inside the world: the headers that the environment declares, and the query string.

    Per request over HTTP and MCP, from the handshake over WebSocket. Header names are lower case. Only headers named in
    the environment's ``context_headers`` are here, so an environment never sees a caller's bearer token.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


NO_CONTEXT: Final = RequestContext()

LAST_KNOWN: Final = "last known"
"""The payload of a ``state`` that does not wait for a running operation: the result is what was before it, marked ``busy``."""


@dataclass(slots=True)
class Connection:
    """A socket or an HTTP request before anything is known of it: what `Middleware.admit` sees and may refuse."""

    transport: str
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    client: str | None = None
    """The other end's address."""
    principal: Principal = ANONYMOUS
    request_id: str | None = None
    """``X-Request-ID``: the id of every operation that brings none itself."""
    trace: str | None = field(init=False)
    """``traceparent``: the trace that every operation belongs to."""

    def __post_init__(self) -> None:
        self.trace = self.headers.get("traceparent")


@dataclass(frozen=True, slots=True)
class Notice:
    """What an environment says while an operation runs: how far it is, or a line for the caller's log."""

    kind: Literal["progress", "log"]
    progress: int | float = 0
    total: int | float | None = None
    message: Any = None
    level: str = "info"
    """As MCP's logging levels: debug, info, notice, warning, error, critical, alert, emergency."""


class Crossing:
    """A bounded way from any thread onto the event loop, in order: what finds it full is dropped and counted.

    What is sent on the loop's own thread while nothing waits arrives at once: before the answer that it belongs to.
    """

    LIMIT = 1024
    """What may wait for the event loop."""

    def __init__(self) -> None:
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting = 0
        self._counting = threading.Lock()

    def send(self, one: Any) -> None:
        """Send it across; from any thread."""
        if self._waiting == 0 and threading.get_ident() == self._thread and not self._loop.is_closed():
            self._deliver(one)
            return
        with self._counting:
            if self._waiting >= self.LIMIT or self._loop.is_closed():
                self.dropped += 1
                return
            self._waiting += 1
        self._loop.call_soon_threadsafe(self._arrive, one)

    def _arrive(self, one: Any) -> None:
        with self._counting:
            self._waiting -= 1
        self._deliver(one)

    def _deliver(self, one: Any) -> None:
        """Called on the event loop with each."""
        raise NotImplementedError


class Control(Crossing):
    """How a caller and the operation that runs for it reach each other; made by transports that can use it.

    Args:
        on_notice: Called on the event loop with every `Notice`, in order. None drops them.
        on_event: Awaited on the event loop with each event of an agent's turn, which goes on when the caller has taken it:
            none is dropped, and a slow caller slows the agent. What it raises ends the turn.
    """

    def __init__(
        self,
        on_notice: Callable[[Notice], None] | None = None,
        *,
        on_event: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__()
        self.on_event = on_event
        self.on_cancel: Callable[[], object] | None = None
        """Set by the runtime where it can stop the work; called on the event loop."""
        self._cancelled = threading.Event()
        self._on_notice = on_notice

    @property
    def cancelled(self) -> bool:
        """Whether the caller wants no answer any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """The caller wants no answer any more. Called on the event loop."""
        self._cancelled.set()
        if self.on_cancel is not None:
            self.on_cancel()

    def tell(self, notice: Notice) -> None:
        """Send a notice to the caller; from any thread."""
        if self._on_notice is not None:
            self.send(notice)

    def _deliver(self, one: Notice) -> None:
        if self._on_notice is not None:
            self._on_notice(one)


@dataclass(slots=True)
class Operation:
    """One thing that somebody wants of a world."""

    op: OpName
    payload: Any = None
    arguments: Mapping[str, Any] | None = None
    """Named arguments beside the payload: those of ``reset``, and what a request says beside its action."""
    session: str | None = None
    principal: Principal = ANONYMOUS
    context: RequestContext = NO_CONTEXT
    transport: str = "local"
    id: str | int | None = None
    size: int = 0
    """Bytes of the frame or body that it came in."""
    trace: str | None = None
    deadline: float | None = None
    """Seconds that the caller is ready to wait; ``None`` is for ever."""
    include: frozenset[str] = frozenset()
    """What the reply carries beside the result: ``state``, ``observation`` (the last one, with a ``state`` asked)."""
    seq: int = 0
    """The world's own count of what it did, set by the world."""
    control: Control | None = None
    """For progress, notices and cancelling, where the transport has them."""


@dataclass(slots=True)
class Result:
    """What came of an `Operation`: an observation, a state or another value, or an error."""

    observation: WireObservation | None = None
    reward: Reward = None
    done: bool = False
    state: State | None = None
    value: Any = None
    error: OpenEnvError | None = None
    tool: str | None = None
    """The tool that the step called."""
    tool_error: OpenEnvError | None = None
    """Why that tool said no: the step itself went well."""
    session: str | None = None
    episode: str | None = None
    seconds: float = 0.0
    """How long the environment took, without waiting for its turn."""
    busy: bool = False
    """Whether an operation was running: ``value`` is the state before it."""


@dataclass(slots=True)
class Event:
    """One operation of an episode and what came of it, as verifiers and rewards read it."""

    seq: int
    op: str
    tool: str | None = None
    arguments: Mapping[str, Any] | None = None
    read_only: bool = False
    success: bool = True
    error: Mapping[str, Any] | None = None
    """The error's body (``code``, ``message``, …) when ``success`` is false."""
    value: Any = None
    reward: Reward = None
    """The environment's own, whatever the step was answered with under a scenario."""


@dataclass(slots=True)
class Episode:
    """What happened since the last reset."""

    id: str | None = None
    seed: int | None = None
    events: list[Event] = field(default_factory=list)
    response: str | None = None
    """The agent's last words, where a task asks for an answer."""
    steps: int = 0
