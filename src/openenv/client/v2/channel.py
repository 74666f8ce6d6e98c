"""Requests and answers over connections that may break: correlation, limits, cancellation, and resumption.

A request is given its id and its bytes once. When a connection is lost, another one is opened, every session attached
to it, and what has no answer is sent again in the old order: effects byte for byte, so that the server can tell a
repetition from a new request; the others anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any

from openenv.client.v2.answers import discard, take
from openenv.client.v2.events import EventHub
from openenv.client.v2.link import Link, LinkLost, LinkSettings
from openenv.client.v2.pending import Pending, Repeat, Seat, admitted, released
from openenv.client.v2.resume import Resumption
from openenv.client.v2.wire import Encoding, Hello, Limits, session_lost
from openenv.errors import ConfigurationError, ConnectionFailed, DeadlineExceeded, PayloadTooLarge

__all__ = ["Channel"]

_GRACE_S = 1.0
"""How much later than the server this side gives up: the server's answer says more."""


class Channel:
    """The requests of one `Connection`.

    Attributes:
        link: The socket, while there is one that is ready for requests.
        hello: What the server said first on the last one.
        seats: The sessions that are attached, or will be again.
        resumes: How often a lost connection was replaced.
        repeats: How many requests were sent again by that.
        fruitless: Attempts to connect since the last answer.
    """

    def __init__(self, settings: LinkSettings, encoding: Encoding, resume_within_s: float | None) -> None:
        self.settings = settings
        self.encoding = encoding
        self.resume_within_s = resume_within_s
        self.link: Link | None = None
        self.hello: Hello | None = None
        self.seats: dict[str, Seat] = {}
        self.pending: dict[int, Pending] = {}
        self.events = EventHub(self)
        self.resumes = 0
        self.repeats = 0
        self.fruitless = 0
        self._last_id = 0
        self._dropped = False
        self._slots = asyncio.Semaphore(1)
        self._keeper: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    # Connecting and closing.

    async def ready(self) -> None:
        """Return when there is a connection, or one is being resumed. Raises as `Link.open` does."""
        if self._keeper is not None and not self._keeper.done() and self._loop is asyncio.get_running_loop():
            return
        self._enter_loop()
        async with self._opening:
            if self._keeper is not None and not self._keeper.done():
                return
            if self.hello is None:
                link = await Link.open(self.settings, self.encoding)
                self.greet(link)
                link.start(self.receive)
                self.events.subscribe_all(link)
                self.link = link
            else:  # Lost while nobody needed it: to be resumed, as if somebody had.
                link = None
            self._keeper = asyncio.create_task(self._keep(link), name="openenv-v2-keeper")

    def greet(self, link: Link) -> None:
        """Learn from a new connection's hello."""
        if self.hello is None:
            self._slots = asyncio.Semaphore(int(link.hello.limits.in_flight))
        self.hello = link.hello

    @property
    def limits(self) -> Limits:
        """The server's, or the usual ones before it said any."""
        return Limits() if self.hello is None else self.hello.limits

    async def close(self) -> None:
        """Close the socket and fail what waits."""
        keeper, self._keeper = self._keeper, None
        link, self.link = self.link, None
        if keeper is not None and self._loop is asyncio.get_running_loop():
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        try:
            if link is not None:
                await link.close()
        finally:
            self.give_up("the client was closed")
            self.events.end()

    def abort(self) -> None:
        """Drop everything without a word, on the loop that it runs on."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self.link is not None:
            self.link.break_off("the client was dropped")

    def abort_from_anywhere(self) -> bool:
        """`abort` from whatever thread this is; whether there was something to drop."""
        busy = self.link is not None or (self._keeper is not None and not self._keeper.done())
        if not busy or self._dropped or self._loop is None or self._loop.is_closed():
            return False
        self._dropped = True
        self._loop.call_soon_threadsafe(self.abort)
        return True

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None:
            if self._loop.is_running():
                raise ConfigurationError("This connection is in use on another event loop", hint="Use one connection per loop.")
            self._keeper, self.link, self.hello = None, None, None
            self.pending.clear()
            self.lose_all("the event loop that it ran on has ended")
        self._loop, self._opening = loop, asyncio.Lock()

    async def _keep(self, link: Link | None) -> None:
        """Replace the socket whenever it is lost, until nothing is left that would need one."""
        while True:
            reason = "the connection was lost while nobody needed it"
            if link is not None:
                lost = await self._end_of(link)
                if lost.fatal:
                    self.give_up(lost.reason)
                    return
                if not self.seats and not self.pending and not self.events.wanted:
                    return
                reason = lost.reason
            link = await Resumption(self, reason).run()
            if link is None:
                return
            self.resumes += 1

    async def _end_of(self, link: Link) -> LinkLost:
        try:
            lost = await asyncio.shield(link.lost)
        except asyncio.CancelledError:
            link.break_off("the client's event loop ends")
            raise
        self.link = None
        await link.close()
        self._drop("never", lost)
        return lost

    def give_up(self, reason: str) -> None:
        """No connection will come of itself: every session is lost, and every request fails."""
        self.hello = None
        self.lose_all(reason)

    # Requests.

    async def request(
        self,
        op: str,
        data: Any = None,
        *,
        seats: Iterable[Seat] = (),
        repeat: Repeat = "again",
        timeout_s: float | None = None,
        sink: Callable[[dict[str, Any]], bool] | None = None,
        session: str | None = None,
    ) -> Any:
        """Ask, and return what the answer's ``ok`` is.

        Args:
            op: The operation.
            data: What goes with it.
            seats: The sessions that it has to do with.
            repeat: What to do when the connection is lost before the answer.
            timeout_s: How long the caller waits; the server is told.
            sink: Takes the answers of a request that has several.
            session: The session that the frame names.

        Raises:
            OpenEnvError: The server's, by its code; `DeadlineExceeded`, `SessionLost`, `ConnectionFailed`, `ServerError`.
        """
        pending = await self.begin(
            op, data, timeout_s=timeout_s, seats=tuple(seats), repeat=repeat, sink=sink, session=session
        )
        return await self.wait(pending)

    async def about(self, op: str, seat: Seat, data: Any = None, **how: Any) -> Any:
        """`request`, about one session."""
        return await self.request(op, data, seats=(seat,), session=seat.id, **how)

    async def begin(self, op: str, data: Any, *, timeout_s: float | None = None, **how: Any) -> Pending:
        """Send a request as soon as the limits allow; `wait` waits for its answer."""
        for seat in how["seats"]:
            seat.check()
        await self.ready()
        taken = await admitted(how["seats"], self._slots)
        try:
            for seat in how["seats"]:
                seat.check()
            pending = self.make(op, data, deadline_ms=None if timeout_s is None else math.ceil(timeout_s * 1000), **how)
        except BaseException:
            released(taken)
            raise
        pending.taken = taken
        if timeout_s is not None:
            pending.timer = asyncio.get_running_loop().call_later(timeout_s + _GRACE_S, self._expire, pending, timeout_s)
        if self.link is not None:
            self.send(self.link, pending)
        return pending

    async def repeat(self, late: Pending) -> Any:
        """Send the very frame of a late effect again, and return what has become of it once it has ended."""
        await self.ready()
        waiting = self.pending.get(late.id)
        if waiting is not None:  # it has no answer yet: whichever comes first is this one's
            waiting.stop()
            released(waiting.taken)
            waiting.taken = []
        again = Pending(late.message, late.frame, late.seats, "same")
        again.taken = await admitted(late.seats, self._slots)
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

    def make(
        self,
        op: str,
        data: Any,
        *,
        seats: tuple[Seat, ...] = (),
        repeat: Repeat = "again",
        deadline_ms: int | None = None,
        sink: Callable[[dict[str, Any]], bool] | None = None,
        session: str | None = None,
    ) -> Pending:
        """Give a request its id and its bytes, and remember it."""
        message: dict[str, Any] = {"id": self._last_id + 1, "op": op}
        if session is not None:
            message["session"] = session
        if data is not None:
            message["data"] = data
        if acknowledged := min((seat.acknowledged for seat in seats), default=0):
            message["ack"] = acknowledged
        if deadline_ms is not None:
            message["deadline_ms"] = deadline_ms
        frame = self.encoded(message)
        self._last_id += 1
        pending = Pending(message, frame, seats, repeat, sink=sink)
        self.pending[self._last_id] = pending
        if repeat == "same":
            for seat in seats:
                seat.begun(self._last_id)
        return pending

    def encoded(self, message: dict[str, Any]) -> bytes:
        """A frame that the server takes, or `PayloadTooLarge`."""
        frame = self.encoding.encode(message)
        if len(frame) > self.limits.frame_bytes:
            raise PayloadTooLarge(
                f"The {message['op']} makes a frame of {len(frame)} bytes, and the server takes {int(self.limits.frame_bytes)}"
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
        if link is None:
            return
        self._last_id += 1
        message = {"id": self._last_id, "op": op, "data": data}
        link.post(self.encoding.encode(message if session is None else message | {"session": session}))

    def count_from(self, number: Any) -> None:
        """Let ids go on above one that was used in a session."""
        if isinstance(number, int) and number > self._last_id:
            self._last_id = number

    def _expire(self, pending: Pending, timeout_s: float) -> None:
        pending.fail(
            DeadlineExceeded(
                f"No answer to the {pending.message['op']} within {timeout_s} s, and the server did not say why",
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
        if pending.repeat == "same" and len(pending.seats) == 1:
            pending.seats[0].late = pending  # it may have happened all the same
        for seat in pending.seats:
            self.tell("cancel", {"id": pending.id}, session=seat.id)

    def receive(self, frame: bytes) -> None:
        """Take one frame of the server's. Raises ``ValueError`` where it is none."""
        take(self, frame)

    def finish(self, pending: Pending, *, late: bool = False) -> None:
        """Forget a request: it is answered, or will never be. Of a ``late`` one the outcome may still be asked for."""
        self.pending.pop(pending.id, None)
        pending.stop()
        for seat in pending.seats:
            if late:
                seat.late = pending
            elif seat.late is not pending:
                seat.ended(pending.id)
        released(pending.taken)
        pending.taken = []

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
        for pending in [one for one in self.pending.values() if one.seats == (seat,)]:
            self.finish(pending)
            pending.fail(session_lost(reason))

    def lose_all(self, reason: str) -> None:
        """Every session is lost, and every request fails."""
        for seat in list(self.seats.values()):
            self.lose(seat, reason)
        for pending in list(self.pending.values()):
            self.finish(pending)
            pending.fail(session_lost(reason) if pending.seats else ConnectionFailed(f"The connection is lost: {reason}"))

    def _drop(self, repeat: Repeat, error: LinkLost) -> None:
        for pending in [one for one in self.pending.values() if one.repeat == repeat]:
            self.finish(pending)
            pending.fail(error)

    def drop_attempts(self, link: asyncio.Future[LinkLost]) -> None:
        """A socket ended while it was being made ready: so do the requests that belong to it alone."""
        with contextlib.suppress(asyncio.CancelledError):
            self._drop("never", link.result())
