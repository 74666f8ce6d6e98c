"""A protocol v2 connection: frames in, the sessions that it holds, frames out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from openenv.errors import OpenEnvError, SessionError
from openenv.operation import Connection, Operation, RequestContext, Result
from openenv.protocol.v2 import Request
from openenv.protocol.v2_answers import Body, Encoding
from openenv.runtime import Session
from openenv.runtime.ledger import Ledger
from openenv.server.v2.doing import Doing
from openenv.server.v2.line import WayOut
from openenv.server.v2.listening import Listening
from openenv.server.v2.opening import Opening
from openenv.server.v2.relaying import Relays
from openenv.server.v2.shared import V2Shared

__all__ = ["IN_FLIGHT", "V2Connection"]

log = logging.getLogger("openenv.server")

IN_FLIGHT: Final = 1024
"""Requests without an answer; with more, frames are left unread."""
MOST_WAITING: Final = 32 * 1024 * 1024
"""Bytes that a client may leave unread before its connection is closed."""

_Handler = Callable[[Request, str | bytes], None]


class V2Connection:
    """What a v2 socket's frames are handed to."""

    def __init__(
        self, shared: V2Shared, connection: Connection, context: RequestContext, encoding: Encoding, line: WayOut
    ) -> None:
        self.shared = shared
        self.core = shared.core
        self.connection = connection
        self.context = context
        self.encoding = encoding
        self.line = line
        self.sessions: dict[str, Session] = {}
        """Those that this connection holds."""
        self.lost = False
        self.is_relayed = False
        """Whether another worker is at the other end, for a client of its own."""
        self.listening = Listening(self)
        self.doing = Doing(self)
        self.relays: Relays | None = None
        """The ways to sessions of other workers, where there are any."""
        self._names: dict[str, bytes] = {}
        """The ids of held sessions as they are written."""
        self.closing: set[str] = set()
        """Sessions that this connection has asked to close, until it is answered."""
        self._pending = 0
        self._flowing = False
        self._backlog: deque[str | bytes | None] = deque()
        doing, listening, opening = self.doing, self.listening, Opening(self)
        self._handlers: Mapping[str, _Handler] = {
            "step": doing.step,
            "batch": doing.batch,
            "reset": doing.effect,
            "call_tool": doing.effect,
            "snapshot": doing.effect,
            "restore": doing.effect,
            "fork": doing.effect,
            "cancel": doing.cancel,
            "state": doing.state,
            "list_tools": doing.list_tools,
            "ping": lambda request, _: self.answer(request, encoding.ok({})),
            "open": opening.begin,
            "attach": self._attach,
            "detach": self._detach,
            "close": self._close,
            "subscribe": lambda request, _: listening.subscribe(request),
            "unsubscribe": lambda request, _: listening.unsubscribe(request),
        }

    # Frames in.

    def take(self, frame: str | bytes | None) -> None:
        """A frame; None for one of the wrong kind, which ends the connection."""
        if self._backlog or self._pending >= IN_FLIGHT or self.line.clogged:
            self._backlog.append(frame)
            self.line.read(False)
            return
        self._begin(frame)

    def flow(self) -> None:
        """Go on with what waits: the client reads again, or something was answered."""
        if self._flowing:  # what is begun below may end something at once, which calls this again
            return
        self._flowing = True
        try:
            while self._backlog and self._pending < IN_FLIGHT and not self.line.clogged:
                self._begin(self._backlog.popleft())
        finally:
            self._flowing = False
        if not self._backlog and not self.line.clogged:
            self.line.read(True)

    def _begin(self, frame: str | bytes | None) -> None:
        if self.lost:
            return
        if frame is None:
            self.line.close(1003, f"frames of {self.encoding.name} are {'binary' if self.encoding.binary else 'text'}")
            return
        request = self.shared.codec.decode(frame)
        try:
            if request.error is not None:
                self._invalid(request, len(frame))
            elif self.relays is None or not self.relays.takes(request, frame):
                self._handlers[request.op](request, frame)
        except OpenEnvError as error:
            self.refuse(request, error)
        except Exception:
            # One frame's mishap is not to cost the connection, which may have thousands of sessions.
            log.exception("a frame of protocol v2 could not be handled")
            self.refuse(request, OpenEnvError("the server failed"))

    def _invalid(self, request: Request, size: int) -> None:
        """What cannot be understood is counted and logged like everything else."""
        operation = self.operation(Operation("invalid", request.error, id=request.id), size)

        def refused(result: Result) -> None:
            assert result.error is not None
            self.answer(request, self.encoding.error(result.error))

        result = self.core.pipeline.submit(operation, refused)
        if result is not None:
            refused(result)

    def count(self, more: int) -> None:
        """So many requests more, or fewer, wait for an answer."""
        self._pending += more
        self.core.replying += more
        if more < 0 and self._backlog:
            self.flow()

    # Sessions.

    def session(self, request: Request) -> Session:
        """The session that a request is about. Raises `SessionError` where this connection does not hold it."""
        return self.held(request.session or "", request.ack)

    def held(self, session_id: str, acknowledged: int) -> Session:
        """A session of this connection, its answers acknowledged up to an id. Raises `SessionError` for any other."""
        session = self.sessions.get(session_id)
        if session is None:
            self.core.manager.session(session_id, self.connection.principal)  # says why it has ended, if it has
            raise SessionError(f"Session {session_id[:80]} is not attached here", hint="Attach it first.")
        if acknowledged and session.ledger is not None:
            session.ledger.acknowledge(acknowledged)
        return session

    def hold(self, session_id: str) -> Session:
        """Attach a session. Raises `SessionError`."""
        if session_id in self.sessions:
            return self.sessions[session_id]
        session = self.core.manager.attach(session_id, self.connection.principal, self)
        if session.ledger is None:
            session.ledger = Ledger()
        session.on_end = lambda reason: self._ended(session, reason)
        session.world.keeps_state = not self.core.specification.inline
        self.sessions[session_id] = session
        self._names[session_id] = self.encoding.text(session_id)
        self.listening.held(session)
        return session

    def hold_new(self, session_id: str) -> None:
        """Attach what has just been made; where this connection is gone, its lease runs."""
        if not self.lost:
            self.hold(session_id)

    def taken(self, session: Session) -> None:
        """Another connection has it now."""
        self._let_go(session)
        self.listening.tell("session_taken", session.id, {})
        self.listening.forget_unwatched(session.id)

    def _ended(self, session: Session, reason: str) -> None:
        if session.id in self.sessions:
            self._let_go(session)
            if session.id not in self.closing:
                self.listening.tell("session_ended", session.id, {"reason": reason})
            self.listening.forget(session.id)

    def _let_go(self, session: Session) -> None:
        del self.sessions[session.id]
        del self._names[session.id]
        session.on_end = None
        self.listening.let_go(session)

    def _attach(self, request: Request, frame: str | bytes) -> None:
        named = request.session or ""
        self.core.pipeline.check(self.operation(Operation("attach", id=request.id, session=named), len(frame)))
        self.hold(named)
        session = self.session(request)
        assert session.ledger is not None
        play = session.world.play
        known = {
            "last_id": session.ledger.last,
            "busy": session.world.busy,
            "episode_id": play.environment.episode_id if play is not None else None,
        }
        self.answer(request, self.encoding.ok(known))

    def _detach(self, request: Request, frame: str | bytes) -> None:
        session = self.session(request)
        self._let_go(session)
        self.listening.forget_unwatched(session.id)
        self.core.manager.detach(session)
        self.answer(request, self.encoding.ok({"lease_s": self.core.manager.leases.of(session)}))

    def _close(self, request: Request, frame: str | bytes) -> None:
        session = self.session(request)
        self.closing.add(session.id)
        self.doing.read(request, session, self.operation(Operation("close"), len(frame)))

    # Frames out.

    def operation(self, operation: Operation, size: int = 0) -> Operation:
        """The operation with who asks and how."""
        return self.core.operation(operation, self.connection, self.context, size)

    def answer(self, request: Request, body: Body) -> None:
        """Answer a request."""
        self.reply(request.id, request.session, body)

    def reply(self, number: int | None, session_id: str | None, body: Body) -> None:
        """Answer the request with this number."""
        name = None
        if session_id is not None:
            name = self._names.get(session_id) or self.encoding.text(session_id)
        self.write(self.encoding.frame(number, name, body))

    def refuse(self, request: Request, error: OpenEnvError) -> None:
        """Answer with an error that no operation stands for."""
        self.answer(request, self.encoding.error(self.told(error)))

    def told(self, error: OpenEnvError) -> OpenEnvError:
        """The error, once the middleware has seen it."""
        return error if error.told else self.core.pipeline.refuse(self.connection, error)

    def drained(self) -> None:
        """The server takes nothing new."""
        self.listening.tell("draining", None, {})

    def write(self, frame: bytes) -> None:
        """Send a frame; a client that leaves too much unread is closed."""
        if self.lost:
            return
        self.line.write(frame)
        if self.line.waiting > MOST_WAITING:
            self.line.close(1008, "the client does not read what it was sent")
            self.end()

    def end(self) -> None:
        """The connection is gone: its sessions wait for another one, for their lease."""
        if self.lost:
            return
        self.lost = True
        self._backlog.clear()
        self.listening.end()
        if self.relays is not None:
            self.relays.end()
        for session in list(self.sessions.values()):
            self._let_go(session)
            self.core.manager.detach(session)
