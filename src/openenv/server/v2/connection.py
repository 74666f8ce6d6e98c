"""A protocol v2 connection: its sessions, what it was asked, and the answers.

Whatever a frame asks goes through the same pipeline as every other operation. What is done at once is answered in the call in
which the frame came; nothing here waits, but for `Opening`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from openenv.errors import Cancelled, DeadlineExceeded, OpenEnvError, SessionError, ValidationFailed
from openenv.operation import Connection, Control, Operation, RequestContext, Result
from openenv.protocol.v2 import Entry, Request, snapshot_bytes
from openenv.protocol.v2_answers import Body, Encoding
from openenv.runtime import Session
from openenv.runtime.ledger import Kept, Ledger, Running
from openenv.runtime.session import ForkRequest
from openenv.runtime.snapshots import for_strangers, seal, unseal
from openenv.server.v2.asked import Asked, Batch, Whole
from openenv.server.v2.line import Line
from openenv.server.v2.listening import Listening
from openenv.server.v2.opening import Opening
from openenv.server.v2.relaying import Relays
from openenv.server.v2.shared import V2Shared

__all__ = ["V2Connection"]

IN_FLIGHT = 1024
"""Requests without an answer; with more, frames are left unread."""
MOST_WAITING = 32 * 1024 * 1024
"""Bytes that a client may leave unread before its connection is closed."""
_NOT_BEGUN = frozenset(
    {
        "RATE_LIMITED",
        "OVERLOADED",
        "SHUTTING_DOWN",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "VALIDATION_ERROR",
        "SESSION_ERROR",
        "CAPACITY_REACHED",
    }
)
"""The codes of refusals before anything was done, so that the same request may come again."""


class V2Connection:
    """What a v2 socket's frames are handed to."""

    def __init__(
        self, shared: V2Shared, connection: Connection, context: RequestContext, encoding: Encoding, line: Line
    ) -> None:
        self.shared = shared
        self.core = shared.core
        self.connection = connection
        self.context = context
        self.encoding = encoding
        self.line = line
        self.sessions: dict[str, Session] = {}
        """Those that this connection holds."""
        self._names: dict[str, bytes] = {}
        self.lost = False
        self.relays: Relays | None = None
        """The ways to sessions of other workers, where there are any."""
        self._closing: set[str] = set()
        """Sessions that this connection has asked to close."""
        self.listening = Listening(self)
        self.opening = Opening(self)
        self._inline = self.core.specification.inline
        self._pending = 0
        self._backlog: deque[str | bytes | None] = deque()
        self._handlers: Mapping[str, Callable[[Request, str | bytes], None]] = {
            "step": self._step,
            "batch": lambda request, frame: self.batch(request, frame, None),
            "reset": self._effect,
            "call_tool": self._effect,
            "snapshot": self._effect,
            "restore": self._effect,
            "fork": self._effect,
            "state": self._state,
            "list_tools": self._read,
            "close": self._read,
            "ping": lambda request, _: self.answer(request, self.encoding.ok({})),
            "open": lambda request, _: self.opening.begin(request),
            "attach": self._attach,
            "detach": self._detach,
            "cancel": self._cancel,
            "subscribe": lambda request, _: self.listening.subscribe(request),
            "unsubscribe": lambda request, _: self.listening.unsubscribe(request),
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
        while self._backlog and self._pending < IN_FLIGHT and not self.line.clogged:
            self._begin(self._backlog.popleft())
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

    def _invalid(self, request: Request, size: int) -> None:
        """What cannot be understood is counted and logged like everything else."""
        operation = self.operation(Operation("invalid", request.error, id=request.id), size)

        def refused(result: Result) -> None:
            assert result.error is not None
            self.answer(request, self.encoding.error(result.error))

        result = self.core.pipeline.submit(operation, refused)
        if result is not None:
            refused(result)

    # What is done once, however often it is asked.

    def _step(self, request: Request, frame: str | bytes) -> None:
        session = self.session(request)
        operation = self.operation(Operation("step", request.data), len(frame))
        self._once(Asked(self, request.id or 0, session, operation, hash(frame)), request)

    def _effect(self, request: Request, frame: str | bytes) -> None:
        session = self.session(request)
        operation = self.operation(self._operation_of(request, session), len(frame))
        self._once(Asked(self, request.id or 0, session, operation, hash(frame)), request)

    def _operation_of(self, request: Request, session: Session) -> Operation:
        data = request.data
        match request.op:
            case "reset":
                return Operation("reset", arguments=data)
            case "call_tool":
                return Operation("call_tool", (data.name, data.arguments))
            case "snapshot":
                return Operation("snapshot", data.export)
            case "restore":
                return Operation("restore", (self._image(session, data.snapshot), None))
        if data.reseed is not None and len(data.reseed) != data.count:
            raise ValidationFailed("'reseed' has a seed for each fork", field="reseed", hint=f"Send {data.count} of them.")
        seeds = data.reseed if data.reseed is not None else [None] * data.count
        return Operation("fork", ForkRequest(tuple(seeds), self.core.resume_lease_s))

    def _image(self, session: Session, named: str | bytes) -> bytes:
        if isinstance(named, str) and ":" in named:
            return self.shared.snapshots.get(session, named)
        return unseal(snapshot_bytes(named), self.core.snapshot_key)

    def batch(self, request: Request, frame: str | bytes, whole: Whole | None) -> None:
        """Do a batch; its results go into a whole where it is only a part of one."""
        entries: list[Entry] = request.data
        number = request.id or 0
        batch = Batch(number, len(entries), as_finished=request.as_finished, whole=whole)
        if not entries:
            self.answer(request, self.encoding.results([]))
            return
        digest = hash(frame)
        share = len(frame) // len(entries)
        named: set[str] = set()
        for index, entry in enumerate(entries):
            try:
                session = self._entry_session(entry, named)
                arguments = entry.data if entry.op == "reset" else None
                operation = Operation(entry.op, None if arguments is not None else entry.data, arguments)
                asked = Asked(self, number, session, self.operation(operation, share), digest)
                asked.batch, asked.index = batch, index
                self._once(asked, request)
            except OpenEnvError as error:
                self._put(batch, index, entry.session, self.encoding.error(self.told(error)))

    def _entry_session(self, entry: Entry, named: set[str]) -> Session:
        if entry.error is not None:
            raise entry.error
        if entry.session in named:
            raise ValidationFailed("a session is named once in a batch", field="entries", hint="Send two batches.")
        named.add(entry.session)
        return self.sessions.get(entry.session) or self._not_held(entry.session)

    def _once(self, asked: Asked, request: Request) -> None:
        """Do it, unless it was done; then answer as it was answered."""
        ledger = asked.session.ledger
        assert ledger is not None
        if request.ack:
            ledger.acknowledge(request.ack)
        if not ledger.is_new(asked.number):
            self._again(asked, ledger)
            return
        operation = asked.operation
        if not self._inline:
            operation.control = Control(self.listening.notices_of(asked))
        if request.deadline_ms is not None:
            operation.deadline = request.deadline_ms / 1000
        result = self.core.pipeline.submit(operation, asked.finished)
        if result is not None:
            self._settle(asked, result)
        elif not asked.settled:
            asked.begun = True
            ledger.begin(asked.number, Running(asked.digest or 0, asked.cancel))
            self._wait(asked, operation.deadline)

    def _again(self, asked: Asked, ledger: Ledger) -> None:
        """A repeat: whoever sends it has to be allowed to, and gets what the first one got."""
        self.core.pipeline.check(asked.operation)
        known = ledger.known(asked.number, asked.digest or 0)
        if isinstance(known, Kept):
            self._tell(asked, known.answer)
            return
        def later(body: Body) -> None:
            self._release(asked)
            self._tell(asked, body)

        self._wait(asked, None)
        known.waiters.append(later)

    def count(self, more: int) -> None:
        """So many requests more, or fewer, wait for an answer."""
        self._pending += more
        self.core.replying += more
        if more < 0 and self._backlog:
            self.flow()

    @staticmethod
    def late(deadline_s: float, *, kept: bool = False) -> DeadlineExceeded:
        """What is said when a deadline passes."""
        hint = "The same request again gets what has come of it." if kept else "Ask again."
        return DeadlineExceeded(f"no answer within {deadline_s:g} s", hint=hint)

    def drained(self) -> None:
        """The server takes nothing new."""
        self.listening.tell("draining", None, {})

    def _wait(self, asked: Asked, deadline_s: float | None) -> None:
        asked.waiting = True
        self.count(1)
        if deadline_s is not None:
            asked.timer = asyncio.get_running_loop().call_later(deadline_s, asked.passed)

    def _release(self, asked: Asked) -> None:
        """It waits no longer, if it did."""
        if not asked.waiting:
            return
        asked.waiting = False
        self.count(-1)
        if asked.timer is not None:
            asked.timer.cancel()
            asked.timer = None

    def finished(self, asked: Asked, result: Result) -> None:
        """The result of something that waited."""
        self._settle(asked, result)
        self._release(asked)

    def expire(self, asked: Asked) -> None:
        """The deadline has passed: say so, and take back what was asked, or stop it where it can be stopped."""
        self._release(asked)
        asked.expired = True
        self._tell(asked, self.encoding.error(self.late(asked.operation.deadline or 0.0, kept=asked.begun)))
        asked.cancel()

    def _settle(self, asked: Asked, result: Result) -> None:
        """Keep the answer, and send it."""
        asked.settled = True
        if asked.operation.op == "close":
            self._closing.discard(asked.session.id)
        if asked.expired and isinstance(result.error, Cancelled):
            result.error = DeadlineExceeded("its deadline had passed, and it was taken back", hint="Ask anew, with a new id.")
        body = self._body(asked, result)
        ledger = asked.session.ledger
        if asked.digest is not None and ledger is not None:
            if result.error is not None and not asked.operation.seq and result.error.code in _NOT_BEGUN:
                ledger.forget(asked.number, body)
            elif asked.begun:
                ledger.finish(asked.number, body, len(body.content))
            else:
                ledger.keep(asked.number, asked.digest, body, len(body.content))
        if not asked.answered:
            self._tell(asked, body)

    def _body(self, asked: Asked, result: Result) -> Body:
        operation = asked.operation
        try:
            if result.error is None and operation.op == "snapshot":
                result.value = self._kept_snapshot(asked.session, result.value, export=operation.payload)
            elif result.error is None and operation.op == "fork":
                for session_id in result.value:
                    self.hold_new(session_id)
        except OpenEnvError as error:
            return self.encoding.error(error)
        return self.encoding.result(operation, result)

    def _kept_snapshot(self, session: Session, image: bytes, *, export: bool) -> dict[str, object]:
        play = session.world.play
        known = play.environment if play is not None else None
        where = {
            "episode_id": known.episode_id if known is not None else None,
            "step_count": known.step_count if known is not None else 0,
        }
        if export:
            return {"snapshot": seal(for_strangers(image), self.core.snapshot_key), **where}
        return {"snapshot": self.shared.snapshots.put(session, image), **where}

    def _tell(self, asked: Asked, body: Body) -> None:
        asked.answered = True
        if asked.batch is not None:
            self._put(asked.batch, asked.index, asked.session.id, body)
        else:
            self.write(self.encoding.frame(asked.number, self._name(asked.session.id), body))

    def _put(self, batch: Batch, index: int, session_id: str, body: Body) -> None:
        """One of a batch's results."""
        if batch.as_finished:
            self.write(self.encoding.frame(batch.number, self._name(session_id), body))
            return
        batch.bodies[index] = body
        batch.left -= 1
        if batch.left:
            return
        bodies = [one for one in batch.bodies if one]
        if batch.whole is not None:
            batch.whole[0].put(batch.whole[1], bodies)
        else:
            self.write(self.encoding.frame(batch.number, None, self.encoding.results(bodies)))

    # What may be asked as often as one likes.

    def _state(self, request: Request, frame: str | bytes) -> None:
        session = self.session(request)
        operation = self.operation(Operation("state", id=request.id, session=session.id), len(frame))
        known = session.world.glance()
        if known is None:
            self._submit(request, session, operation)
            return
        self.core.pipeline.check(operation)
        self.answer(request, self.encoding.result(operation, known))

    def _read(self, request: Request, frame: str | bytes) -> None:
        session = self.session(request)
        if request.op == "close":
            self._closing.add(session.id)
            operation = Operation("close", self, id=request.id)
        else:
            operation = Operation("list_tools", id=request.id)
        self._submit(request, session, self.operation(operation, len(frame)))

    def _submit(self, request: Request, session: Session, operation: Operation) -> None:
        operation.session = session.id
        asked = Asked(self, request.id or 0, session, operation)
        deadline_s = request.deadline_ms / 1000 if request.deadline_ms is not None else None
        operation.deadline = deadline_s
        result = self.core.pipeline.submit(operation, asked.finished)
        if result is not None:
            self._settle(asked, result)
        elif not asked.settled:
            self._wait(asked, deadline_s)

    # Sessions.

    def session(self, request: Request) -> Session:
        """The session that a request is about. Raises `SessionError` where this connection does not hold it."""
        named = request.session or ""
        return self.sessions.get(named) or self._not_held(named)

    def _not_held(self, session_id: str) -> Session:
        self.core.manager.session(session_id, self.connection.principal)  # says why it has ended, if it has
        raise SessionError(f"Session {session_id[:80]} is not attached here", hint="Attach it first.")

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

    def _ended(self, session: Session, reason: str) -> None:
        if session.id in self.sessions:
            self._let_go(session)
            if session.id not in self._closing:
                self.listening.tell("session_ended", session.id, {"reason": reason})

    def _let_go(self, session: Session) -> None:
        del self.sessions[session.id]
        del self._names[session.id]
        session.on_end = None
        self.listening.let_go(session)

    def _attach(self, request: Request, frame: str | bytes) -> None:
        named = request.session or ""
        self.core.pipeline.check(self.operation(Operation("attach", id=request.id, session=named), len(frame)))
        session = self.hold(named)
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
        self.core.manager.detach(session)
        lease_s = self.core.manager.lease_s if session.lease_s is None else session.lease_s
        self.answer(request, self.encoding.ok({"lease_s": lease_s}))

    def _cancel(self, request: Request, frame: str | bytes) -> None:
        ledger = self.session(request).ledger
        running = ledger.running.get(request.data.id) if ledger is not None else None
        found = running is not None and running.cancel is not None and running.cancel()
        self.answer(request, self.encoding.ok({"found": found}))

    # Frames out.

    def operation(self, operation: Operation, size: int = 0) -> Operation:
        """The operation with who asks and how."""
        return self.core.operation(operation, self.connection, self.context, size)

    def _name(self, session_id: str) -> bytes:
        """A session's id as it is written; of those that are held it is known."""
        return self._names.get(session_id) or self.encoding.text(session_id)

    def answer(self, request: Request, body: Body) -> None:
        """Answer a request that is about no operation of a world, or was refused."""
        name = self._name(request.session) if request.session is not None else None
        self.write(self.encoding.frame(request.id, name, body))

    def refuse(self, request: Request, error: OpenEnvError) -> None:
        """Answer with an error that no operation stands for."""
        self.answer(request, self.encoding.error(self.told(error)))

    def told(self, error: OpenEnvError) -> OpenEnvError:
        """The error, once the middleware has seen it."""
        return error if error.told else self.core.pipeline.refuse(self.connection, error)

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


