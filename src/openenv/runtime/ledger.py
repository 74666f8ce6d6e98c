"""What a session has already answered: so that a request that comes twice is done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openenv.errors import AnswerGone, IdReused, Overloaded

__all__ = ["Kept", "Ledger", "Running"]


class Kept(NamedTuple):
    """An answer that was given. What it looks like is its writer's business."""

    digest: int
    answer: Any
    size: int


@dataclass(slots=True)
class Running:
    """A request that is being done."""

    digest: int
    cancel: Callable[[], object] | None = None
    """Takes it back, or stops it where it can be."""
    due: float | None = None
    """When its deadline passes, on the event loop's clock."""
    waiters: list[Callable[[Any], None]] = field(default_factory=list)
    """Called with the answer, beside who asked first."""


class Ledger:
    """The ids of one session.

    Ids increase. One that was used is never done again: its answer is given once more while it is kept, which is until it is
    acknowledged, and for the last `MOST` answers or `MOST_BYTES`. A request that was refused before it began has used up nothing.
    """

    MOST = 64
    MOST_BYTES = 8 * 1024 * 1024

    __slots__ = ("_acknowledged", "_bytes", "_free", "_kept", "last", "running")

    def __init__(self) -> None:
        self.last = 0
        """The highest id that was used."""
        self.running: dict[int, Running] = {}
        self._kept: dict[int, Kept] = {}
        self._bytes = 0
        self._acknowledged = 0
        self._free: set[int] | None = None
        """Ids up to the last that came and were refused before they began."""

    def is_new(self, number: int) -> bool:
        """Whether this id is unused. Raises `Overloaded` for one more when too many have no answer yet."""
        if number <= self.last and (self._free is None or number not in self._free):
            return False
        if len(self.running) >= self.MOST:
            raise Overloaded(f"{self.MOST} requests of this session have no answer yet", hint="Wait for answers.")
        return True

    def begin(self, number: int, running: Running) -> None:
        """A new request is being done, and will `finish` later."""
        self._use(number)
        self.running[number] = running

    def known(self, number: int, digest: int) -> Kept | Running:
        """What became of an id that was used.

        Raises:
            IdReused: It was used for something else.
            AnswerGone: It was done, and the answer is not kept any more.
        """
        found = self.running.get(number) or self._kept.get(number)
        if found is None:
            raise AnswerGone(
                f"request {number} is not done (again): later ones of this session were, and no answer to it is kept",
                hint="Ids rise; an answer is acknowledged only when it has come, and at most 64 are kept.",
            )
        if found.digest != digest:
            raise IdReused(
                f"the id {number} was used in this session for another request",
                field="id",
                hint="Count on for a new request; send the same bytes for a repeat.",
            )
        return found

    def keep(self, number: int, digest: int, answer: Any, size: int) -> None:
        """Keep the answer of a new request that was done at once."""
        self._use(number)
        if number <= self._acknowledged:
            return
        kept = self._kept
        kept[number] = Kept(digest, answer, size)
        self._bytes += size
        while len(kept) > 1 and (len(kept) > self.MOST or self._bytes > self.MOST_BYTES):
            self._drop(next(iter(kept)))

    def finish(self, number: int, answer: Any, size: int) -> None:
        """Keep the answer of what was running, and give it to whoever waits for it."""
        running = self.running.pop(number)
        self.keep(number, running.digest, answer, size)
        for waiter in running.waiters:
            waiter(answer)

    def forget(self, number: int, answer: Any) -> None:
        """It was refused before it began: the id may be used once more."""
        running = self.running.pop(number, None)
        self._use(number)
        free = self._free = self._free or set()
        free.add(number)
        if len(free) > self.MOST:
            free.discard(min(free))
        for waiter in running.waiters if running is not None else ():
            waiter(answer)

    def acknowledge(self, number: int) -> None:
        """Every answer up to this one has come."""
        if number <= self._acknowledged:
            return
        self._acknowledged = number
        if number >= self.last:  # all of them, as with every request of a client that waits for its answers
            self._kept.clear()
            self._bytes = 0
            return
        for known in list(self._kept):
            if known <= number:
                self._drop(known)

    def _use(self, number: int) -> None:
        if number > self.last:
            self.last = number
        elif self._free is not None:
            self._free.discard(number)

    def _drop(self, number: int) -> None:
        self._bytes -= self._kept.pop(number).size
