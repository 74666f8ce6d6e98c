"""Requests and answers over connections that may break: correlation, limits, cancellation.

A request is given its id and its bytes once. When a connection is lost, `Keeper` gets another one, attaches every session
to it, and has sent again what has no answer, in the old order: effects byte for byte, so that the server can tell a
repetition from a new request; the others anew.
"""

from __future__ import annotations

import asyncio
from typing import Any

from openenv.client.loss import session_lost
from openenv.client.v2.answers import discard, take
from openenv.client.v2.events import EventHub
from openenv.client.v2.keeper import Keeper
from openenv.client.v2.link import Link, LinkLost, LinkSettings
from openenv.client.v2.pending import Ask, Pending, Repeat, Seat, admitted, released
from openenv.client.v2.wire import Encoding, Hello, Limits
from openenv.errors import ConnectionFailed, DeadlineExceeded, PayloadTooLarge

__all__ = ["Conversation"]

_GRACE_S = 1.0
"""How much later than the server this side gives up: the server's answer says more."""


class Conversation:
    """What one `Connection` has asked and heard, and the sessions that it is about.

    Attributes:
        keeper: What gets it a socket, and another one when that is lost.
        link: The socket, while there is one that is ready for requests.
        hello: What the server said first on the last one.
        seats: The sessions that are attached, or will be again.
        pending: The requests without an answer, by their ids.
        events: Who wants to hear what the server tells unasked.
        repeats: How many requests were sent again, because their connection was lost before their answers came.
    """

    def __init__(self, settings: LinkSettings, encoding: Encoding, resume_within_s: float | None) -> None:
        self.encoding = encoding
        self.keeper = Keeper(self, settings, resume_within_s)
        self.link: Link | None = None
        self.hello: Hello | None = None
        self.seats: dict[str, Seat] = {}
        self.pending: dict[int, Pending] = {}
        self.events = EventHub(self)
        self.repeats = 0
        self._last_id = 0
        self._slots = asyncio.Semaphore(1)

    def greet(self, link: Link) -> None:
        """Learn from a new connection's hello."""
        if self.hello is None:
            self._slots = asyncio.Semaphore(int(link.hello.limits.in_flight))
        self.hello = link.hello

    @property
    def limits(self) -> Limits:
        """The server's, or the usual ones before it said any."""
        return Limits() if self.hello is None else self.hello.limits

    # Requests.

    async def request(self, ask: Ask) -> Any:
        """Ask, and return what the answer's ``ok`` is.

        Raises:
            OpenEnvError: The server's, by its code; `DeadlineExceeded`, `SessionLost`, `ConnectionFailed`, `ServerError`.
        """
        return await self.wait(await self.begin(ask))

    async def begin(self, ask: Ask) -> Pending:
        """Send a request as soon as the limits allow; `wait` waits for its answer."""
        for seat in ask.seats:
            seat.check()
        await self.keeper.ready()
        taken = await admitted(ask.seats, self._slots)
        try:
            for seat in ask.seats:
                seat.check()
            pending = self.make(ask)
        except BaseException:
            released(taken)
            raise
        pending.taken = taken
        if ask.timeout_s is not None:
            loop = asyncio.get_running_loop()
            pending.timer = loop.call_later(ask.timeout_s + _GRACE_S, self._expire, pending, ask.timeout_s)
        if self.link is not None:
            self.send(self.link, pending)
        return pending

    async def repeat(self, late: Pending) -> Any:
        """Send the very frame of a late effect again, and return what has become of it once it has ended."""
        await self.keeper.ready()
        waiting = self.pending.get(late.id)
        if waiting is not None:  # it has no answer yet: whichever comes first is this one's
            waiting.stop()
            released(waiting.taken)
            waiting.taken = []
        again = Pending(late.message, late.frame, late.ask)
        again.taken = await admitted(late.ask.seats, self._slots)
        self.pending[again.id] = again
        if self.link is not None:
            self.send(self.link, again)
        return await self.wait(again)

    async def wait(self, pending: Pending) -> Any:
        """Wait for the answer. A cancelled wait takes the request back."""
        try:
            return await pending.future
        except asyncio.CancelledError:
            if pending.future.cancelled():
                self.abandon(pending)
            elif pending.future.exception() is None:
                discard(self, pending, pending.future.result())
            raise

    def make(self, ask: Ask) -> Pending:
        """Give a request its id and its bytes, and remember it."""
        message = ask.message(self._last_id + 1)
        frame = self.encoded(message)
        self._last_id += 1
        pending = self.pending[self._last_id] = Pending(message, frame, ask)
        if ask.repeat == "same":
            for seat in ask.seats:
                seat.begun(self._last_id)
        return pending

    def encoded(self, message: dict[str, Any]) -> bytes:
        """A frame that the server takes, or `PayloadTooLarge`."""
        frame = self.encoding.encode(message)
        if len(frame) > self.limits.frame_bytes:
            raise PayloadTooLarge(
                f"The {message['op']} makes a frame of {len(frame)} bytes, and the server takes {int(self.limits.frame_bytes)}",
                hint="Send less in it, or the entries of a batch in several.",
            )
        return frame

    def send(self, link: Link, pending: Pending) -> None:
        """Have it written."""
        self.repeats += pending.sent > 0
        pending.sent += 1
        link.post(pending.frame)

    def send_anew(self, link: Link, pending: Pending) -> None:
        """Ask again what changes nothing: under a new id."""
        del self.pending[pending.id]
        self._last_id += 1
        pending.message["id"] = self._last_id
        self.pending[self._last_id] = pending
        pending.frame = self.encoded(pending.message)
        self.send(link, pending)

    def tell(self, op: str, data: Any, *, session: str | None = None, link: Link | None = None) -> None:
        """Ask for something whose answer nobody needs."""
        link = link or self.link
        if link is not None:
            self._last_id += 1
            link.post(self.encoding.encode(Ask(op, data, session=session).message(self._last_id)))

    def count_from(self, number: Any) -> None:
        """Let ids go on above one that was used in a session."""
        if isinstance(number, int) and number > self._last_id:
            self._last_id = number

    def _expire(self, pending: Pending, timeout_s: float) -> None:
        pending.fail(
            DeadlineExceeded(
                f"No answer to the {pending.ask.op} within {timeout_s} s, and the server did not say why",
                hint="It may still happen, and the next call in the session waits for it: outcome() tells what became of it.",
            )
        )
        self.abandon(pending)

    def abandon(self, pending: Pending) -> None:
        """Take a request back: nobody waits for its answer any more."""
        if pending.future.done() and not pending.future.cancelled():
            pending.future.exception()  # looked at: nobody else will
        if self.pending.get(pending.id) is not pending or pending.abandoned:
            return
        pending.abandoned = True
        if self.link is None:
            self.finish(pending)
            return
        if pending.ask.one_effect:
            pending.ask.seats[0].late = pending  # it may have happened all the same
        for seat in pending.ask.seats:
            self.tell("cancel", {"id": pending.id}, session=seat.id)

    def receive(self, frame: bytes) -> None:
        """Take one frame of the server's. Raises ``ValueError`` where it is none."""
        take(self, frame)

    def finish(self, pending: Pending, *, late: bool = False) -> None:
        """Forget a request: it is answered, or will never be. Of a ``late`` one the outcome may still be asked for."""
        self.pending.pop(pending.id, None)
        pending.stop()
        for seat in pending.ask.seats:
            if late and seat.remembers(pending.id):
                seat.late = pending
            elif seat.late is not pending:
                seat.ended(pending.id)
        released(pending.taken)
        pending.taken = []

    def drop(self, repeat: Repeat, error: LinkLost) -> None:
        """Fail the requests that are to be repeated in this way."""
        for pending in [one for one in self.pending.values() if one.ask.repeat == repeat]:
            self.finish(pending)
            pending.fail(error)

    # Sessions.

    def seat(self, session_id: str, *, owned: bool) -> Seat:
        """Remember a session that is attached."""
        seat = self.seats.get(session_id)
        if seat is None:
            seat = self.seats[session_id] = Seat(session_id, int(self.limits.per_session), owned=owned)
        return seat

    def part(self, seat: Seat, reason: str) -> None:
        """A session is another's now, or has ended: nothing more is asked of it. What was asked before is still answered."""
        seat.lost = seat.lost or reason
        if self.seats.get(seat.id) is seat:
            del self.seats[seat.id]
        self.events.end(seat.id)

    def lose(self, seat: Seat, reason: str) -> None:
        """A session is gone: whoever waits for it is told why."""
        self.part(seat, reason)
        for pending in [one for one in self.pending.values() if one.ask.seats == (seat,)]:
            self.finish(pending)
            pending.fail(session_lost(reason))

    def give_up(self, reason: str) -> None:
        """No connection will come of itself: every session is lost, and every request fails."""
        self.hello = None
        for seat in list(self.seats.values()):
            self.lose(seat, reason)
        for pending in list(self.pending.values()):
            self.finish(pending)
            lost = session_lost(reason) if pending.ask.seats else ConnectionFailed(f"The connection is lost: {reason}")
            pending.fail(lost)
