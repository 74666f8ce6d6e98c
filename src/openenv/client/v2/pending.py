"""What a client keeps of a session and of a request until it is answered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from openenv.client.loss import session_lost

__all__ = ["Ask", "Pending", "Repeat", "Seat", "admitted", "released"]

Repeat = Literal["same", "again", "never"]
"""What to do with a request that a lost connection left without an answer.

``"same"``: send the very same frame, because the server keeps the answers of effects by their ids. ``"again"``: ask anew.
``"never"``: it is of no meaning on another connection.
"""


class Seat:
    """A session as its connection sees it.

    Attributes:
        lost: Why the session is of no more use, once it is.
        owned: Closed with the connection; else only detached.
        late: The last effect, where its deadline passed or it was cancelled: its outcome may still be asked for, until another
            effect is.
    """

    __slots__ = ("_answered", "_effects", "id", "late", "lost", "owned", "slots")

    def __init__(self, session_id: str, slots: int, *, owned: bool) -> None:
        self.id = session_id
        self.lost: str | None = None
        self.owned = owned
        self.late: Pending | None = None
        self.slots = asyncio.Semaphore(slots)
        self._effects: dict[int, None] = {}
        self._answered = 0

    def check(self) -> None:
        """Raise `SessionLost` where the session is lost."""
        if self.lost is not None:
            raise session_lost(self.lost)

    def begun(self, number: int) -> None:
        """An effect of this id has been asked for."""
        self.forget_late()
        self._effects[number] = None

    def remembers(self, number: int) -> bool:
        """Whether the effect of this id has not ended. A late one has when another is asked for."""
        return number in self._effects

    def ended(self, number: int) -> None:
        """It has been answered, or nobody wants its answer any more."""
        if number in self._effects:
            del self._effects[number]
            self._answered = max(self._answered, number)

    def forget_late(self) -> None:
        """Nobody asks for the outcome of what was late any more."""
        late, self.late = self.late, None
        if late is not None:
            self.ended(late.id)

    @property
    def acknowledged(self) -> int:
        """Every answer up to this id has come; 0 where none has."""
        for oldest in self._effects:
            return oldest - 1
        return self._answered


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """What is asked of a server, before it has an id."""

    op: str
    data: Any = None
    _: KW_ONLY
    seats: tuple[Seat, ...] = ()
    """The sessions that it has to do with."""
    session: str | None = None
    """The one that the frame names."""
    repeat: Repeat = "again"
    timeout_s: float | None = None
    """How long the caller waits; the server is told."""
    sink: Callable[[dict[str, Any]], bool] | None = None
    """Takes one of several answers; whether it was the last."""

    @classmethod
    def about(cls, op: str, seat: Seat, data: Any = None, *, repeat: Repeat = "again", timeout_s: float | None = None) -> Ask:
        """Something about one session, which the frame names."""
        return cls(op, data, seats=(seat,), session=seat.id, repeat=repeat, timeout_s=timeout_s)

    @property
    def one_effect(self) -> bool:
        """Whether it changes one session: its outcome can be asked for when it was late."""
        return self.repeat == "same" and len(self.seats) == 1

    def message(self, number: int) -> dict[str, Any]:
        """The request of this id, with what has been answered by now."""
        message: dict[str, Any] = {"id": number, "op": self.op}
        if self.session is not None:
            message["session"] = self.session
        if self.data is not None:
            message["data"] = self.data
        if acknowledged := min((seat.acknowledged for seat in self.seats), default=0):
            message["ack"] = acknowledged
        if self.timeout_s is not None:
            message["deadline_ms"] = math.ceil(self.timeout_s * 1000)
        return message


@dataclass(slots=True, eq=False)
class Pending:
    """A request without an answer."""

    message: dict[str, Any]
    frame: bytes
    ask: Ask
    future: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    taken: list[asyncio.Semaphore] = field(default_factory=list)
    """What is to be released at the end."""
    timer: asyncio.TimerHandle | None = None
    abandoned: bool = False
    """Nobody waits any more."""
    renewed: bool = False
    """A connection has been replaced for it, because its token had expired."""
    sent: int = 0
    """How often it was sent."""

    @property
    def id(self) -> int:
        """Its number on the wire."""
        number: int = self.message["id"]
        return number

    def stop(self) -> None:
        """Its time no longer runs."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits."""
        if not self.future.done():
            self.future.set_exception(error)
            if self.abandoned:
                self.future.exception()  # looked at: nobody else will

    def answer(self, value: Any) -> None:
        """Hand the answer to whoever waits."""
        if not self.future.done():
            self.future.set_result(value)


async def admitted(seats: Sequence[Seat], slots: asyncio.Semaphore) -> list[asyncio.Semaphore]:
    """Wait for the limits of sessions and their connection: in a fixed order, so that nobody waits for one who waits for him."""
    wanted = [seat.slots for seat in (seats if len(seats) < 2 else sorted(seats, key=lambda seat: seat.id))]
    taken: list[asyncio.Semaphore] = []
    try:
        for one in (*wanted, slots):
            await one.acquire()
            taken.append(one)
    except BaseException:
        released(taken)
        raise
    return taken


def released(taken: Iterable[asyncio.Semaphore]) -> None:
    """Let others have their turn."""
    for slots in taken:
        slots.release()
