"""What a v2 connection was asked to do in its sessions: everything once, and everything answered.

Whatever is asked goes through the same pipeline as every other operation. What is done at once is answered in the call in which
its frame came; nothing here waits.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from openenv.errors import Cancelled, DeadlineExceeded, OpenEnvError, ValidationFailed
from openenv.operation import LAST_KNOWN, Control, Operation, Result
from openenv.protocol.v2 import Entry, Request, snapshot_bytes
from openenv.protocol.v2_answers import Body
from openenv.runtime import Session
from openenv.runtime.ledger import Kept, Ledger, Running
from openenv.runtime.permission import permit
from openenv.runtime.session import ForkRequest
from openenv.runtime.snapshots import check_own, episode_of, for_strangers, seal, unseal
from openenv.server.v2.asked import Asked, Batch, Done

if TYPE_CHECKING:
    from openenv.server.v2.connection import V2Connection

__all__ = ["Doing", "late"]

log = logging.getLogger("openenv.server")

_MAKES: Final = frozenset({"snapshot", "fork"})
_NOT_BEGUN: Final = frozenset(
    {
        "RATE_LIMITED",
        "OVERLOADED",
        "CAPACITY_REACHED",
        "SHUTTING_DOWN",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "VALIDATION_ERROR",
        "SESSION_ERROR",
    }
)
"""The codes of refusals before anything was done, so that the same request may come again."""


class Doing:
    """One connection's requests about worlds."""

    def __init__(self, connection: V2Connection) -> None:
        self._connection = connection
        self._core = connection.core
        self._encoding = connection.encoding
        self._inline = connection.core.specification.inline

    # What is done once, however often it is asked.

    def step(self, request: Request, frame: str | bytes) -> None:
        """Take a step."""
        connection = self._connection
        session = connection.session(request)
        operation = connection.operation(Operation("step", request.data), len(frame))
        self._once(Asked(self, request.id or 0, session, operation, hash(frame)), request.deadline_ms)

    def effect(self, request: Request, frame: str | bytes) -> None:
        """Do what else is done once."""
        connection = self._connection
        session = connection.session(request)
        operation = connection.operation(self._operation_of(request, session), len(frame))
        self._once(Asked(self, request.id or 0, session, operation, hash(frame)), request.deadline_ms)

    def _operation_of(self, request: Request, session: Session) -> Operation:
        data = request.data
        match request.op:
            case "reset":
                return self._reset(data)
            case "call_tool":
                return Operation("call_tool", (data.name, data.arguments))
            case "snapshot":
                return Operation("snapshot", data.export)
            case "restore":
                permit(self._connection.operation(Operation("restore")))  # before it is told whether there is such a snapshot
                return Operation("restore", (self._image(session, data.snapshot), None))
        if data.reseed is not None and len(data.reseed) != data.count:
            raise ValidationFailed("'reseed' has a seed for each fork", field="reseed", hint=f"Send {data.count} of them.")
        seeds = data.reseed if data.reseed is not None else [None] * data.count
        return Operation("fork", ForkRequest(tuple(seeds), self._core.resume_lease_s))

    def _reset(self, options: dict[str, Any]) -> Operation:
        """Raises `ValidationFailed` for an option that neither the environment nor every reset knows."""
        self._core.specification.refuse_unknown_options(options)
        return Operation("reset", arguments=options)

    def _image(self, session: Session, named: str | bytes) -> bytes:
        if isinstance(named, str) and ":" in named:
            return self._connection.shared.snapshots.get(session, named)
        return unseal(snapshot_bytes(named), self._core.snapshot_key)

    def batch(self, request: Request, frame: str | bytes) -> None:
        """Step and reset many sessions."""
        if request.digest is not None and not self._connection.is_relayed:
            raise ValidationFailed("unknown field 'digest'", field="digest", hint="Leave it away.")
        self.part(request, frame, lambda bodies: self._connection.answer(request, self._encoding.results(bodies)))

    def part(self, request: Request, frame: str | bytes, done: Done) -> None:
        """Do a batch, or some of its entries. The results are ``done``'s, where they are not answered as they come."""
        connection = self._connection
        entries: list[Entry] = request.data
        if not entries:
            done([])
            return
        number = request.id or 0
        batch = None if request.as_finished else Batch(len(entries), done)
        digest = request.digest or self.digest(frame)
        share = len(frame) // len(entries)
        named: set[str] = set()
        for index, entry in enumerate(entries):
            try:
                session = self._entry_session(entry, named, request.ack)
                operation = self._reset(entry.data) if entry.op == "reset" else Operation("step", entry.data)
                asked = Asked(self, number, session, connection.operation(operation, share), digest)
                asked.batch, asked.index = batch, index
                self._once(asked, request.deadline_ms)
            except OpenEnvError as error:
                self._say(batch, index, number, entry.session, self._encoding.error(connection.told(error)))

    def digest(self, frame: str | bytes) -> int:
        """Tells a batch's frame from any other: in one process, or in all of a server's, where parts of it may go."""
        if self._core.siblings is None:
            return hash(frame)
        whole = frame.encode() if isinstance(frame, str) else frame
        return int.from_bytes(blake2b(whole, digest_size=6).digest(), "big") + 1

    def _entry_session(self, entry: Entry, named: set[str], acknowledged: int) -> Session:
        if entry.error is not None:
            raise entry.error
        if entry.session in named:
            raise ValidationFailed("a session is named once in a batch", field="entries", hint="Send two batches.")
        named.add(entry.session)
        return self._connection.held(entry.session, acknowledged)

    def _once(self, asked: Asked, deadline_ms: int | None) -> None:
        """Do it, unless it was done; then answer as it was answered."""
        ledger = asked.session.ledger
        assert ledger is not None
        operation = asked.operation
        if deadline_ms is not None:
            operation.deadline = deadline_ms / 1000
        if not ledger.is_new(asked.number):
            self._again(asked, ledger)
            return
        if not self._inline:
            operation.control = Control(self._connection.listening.notices_of(asked))
        result = self._core.pipeline.submit(operation, asked.finished)
        if result is not None:
            self._settle(asked, result)
        elif not asked.settled:
            asked.begun = True
            self._wait(asked, operation.deadline)
            due = asked.timer.when() if asked.timer is not None else None
            ledger.begin(asked.number, Running(asked.digest or 0, asked.cancel, due))

    def _again(self, asked: Asked, ledger: Ledger) -> None:
        """A repeat: whoever sends it has to be allowed to, and gets what the first one got."""
        self._core.pipeline.check(asked.operation)
        known = ledger.known(asked.number, asked.digest or 0)
        if isinstance(known, Kept):
            self._tell(asked, known.answer)
            return

        def later(body: Body) -> None:
            self._release(asked)
            if not asked.answered:
                self._tell(asked, body)

        left_s = known.due - asyncio.get_running_loop().time() if known.due is not None else 0.0
        asked.begun = left_s > 0
        self._wait(asked, left_s if left_s > 0 else None)
        known.waiters.append(later)

    def cancel(self, request: Request, frame: str | bytes) -> None:
        """Take back what waits, and stop what runs where it can be stopped."""
        ledger = self._connection.session(request).ledger
        running = ledger.running.get(request.data.id) if ledger is not None else None
        if running is not None and running.cancel is not None:
            running.cancel()
        self._connection.answer(request, self._encoding.ok({"found": running is not None}))

    # What may be asked as often as one likes.

    def state(self, request: Request, frame: str | bytes) -> None:
        """Tell the state: of a world that is busy, the one before."""
        session = self._connection.session(request)
        self.read(request, session, self._connection.operation(Operation("state", LAST_KNOWN), len(frame)))

    def list_tools(self, request: Request, frame: str | bytes) -> None:
        """Tell the tools."""
        session = self._connection.session(request)
        self.read(request, session, self._connection.operation(Operation("list_tools"), len(frame)))

    def read(self, request: Request, session: Session, operation: Operation) -> None:
        """Do an operation that nothing is kept of, and answer."""
        asked = Asked(self, request.id or 0, session, operation)
        if request.deadline_ms is not None:
            operation.deadline = request.deadline_ms / 1000
        result = self._core.pipeline.submit(operation, asked.finished)
        if result is not None:
            self._settle(asked, result)
        elif not asked.settled:
            self._wait(asked, operation.deadline)

    # Answers.

    def finished(self, asked: Asked, result: Result) -> None:
        """The result of something that waited."""
        self._settle(asked, result)
        self._release(asked)

    def expire(self, asked: Asked) -> None:
        """The deadline has passed: say so, and take back what was asked, or stop it where it can be stopped."""
        self._release(asked)
        asked.expired = True
        self._tell(asked, self._encoding.error(late(asked.operation.deadline or 0.0, kept=asked.begun)))
        asked.cancel()

    def _wait(self, asked: Asked, deadline_s: float | None) -> None:
        asked.waiting = True
        self._connection.count(1)
        if deadline_s is not None:
            asked.timer = asyncio.get_running_loop().call_later(deadline_s, asked.passed)

    def _release(self, asked: Asked) -> None:
        """It waits no longer, if it did."""
        if not asked.waiting:
            return
        asked.waiting = False
        if asked.timer is not None:
            asked.timer.cancel()
            asked.timer = None
        self._connection.count(-1)

    def _settle(self, asked: Asked, result: Result) -> None:
        """Keep the answer, and send it."""
        asked.settled = True
        if asked.operation.op == "close":
            self._connection.closing.discard(asked.session.id)
        if asked.expired and isinstance(result.error, Cancelled):
            result.error = DeadlineExceeded("its deadline had passed, and it was taken back", hint="Ask anew, with a new id.")
        body = self._body(asked, result) if asked.operation.op in _MAKES else self._answer(asked.operation, result)
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
        """The answer to an operation that makes something which stays here."""
        operation = asked.operation
        try:
            if result.error is None and operation.op == "snapshot":
                result.value = self._kept_snapshot(asked.session, result.value, export=operation.payload)
            elif result.error is None:
                for session_id in result.value:
                    self._connection.hold_new(session_id)
        except OpenEnvError as error:
            return self._encoding.error(error)
        return self._answer(operation, result)

    def _answer(self, operation: Operation, result: Result) -> Body:
        try:
            return self._encoding.result(operation, result)
        except Exception:
            log.exception("an answer of protocol v2 could not be written")
            return self._encoding.error(OpenEnvError("the answer could not be written"))

    def _kept_snapshot(self, session: Session, image: bytes, *, export: bool) -> dict[str, object]:
        check_own(image, self._core.specification)
        where = episode_of(image)
        if export:
            return {"snapshot": seal(for_strangers(image), self._core.snapshot_key), **where}
        return {"snapshot": self._connection.shared.snapshots.put(session, image), **where}

    def _tell(self, asked: Asked, body: Body) -> None:
        asked.answered = True
        self._say(asked.batch, asked.index, asked.number, asked.session.id, body)

    def _say(self, batch: Batch | None, place: int, number: int, session_id: str, body: Body) -> None:
        """Put an answer to its batch, or send it."""
        if batch is not None:
            batch.put(place, body)
        else:
            self._connection.reply(number, session_id, body)


def late(deadline_s: float, *, kept: bool = False) -> DeadlineExceeded:
    """What is said when a deadline passes; ``kept`` where asking again gets the outcome."""
    hint = "The same request again gets what has come of it." if kept else "Ask again."
    return DeadlineExceeded(f"no answer within {deadline_s:g} s", hint=hint)
