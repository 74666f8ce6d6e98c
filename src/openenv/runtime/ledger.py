"""What a session has already answered: so that a request that comes twice is done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openenv.errors import AnswerGone, IdReused, Overloaded

__all__ = ["Kept", "Ledger", "Running"]


@dataclass(slots=True)
class Kept:
    """An answer that was given. What it looks like is its writer's business."""

    digest: int
    answer: Any
    size: int


@dataclass(slots=True)
class Running:
    """A request that is being done."""

    digest: int
    waiters: list[Callable[[Any], None]] = field(default_factory=list)
    """Called with the answer, beside who asked first."""
    cancel: Callable[[], bool] | None = None
    """Takes it back; whether that was of any use. None where it cannot be."""


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
        self._free: set[int] = set()
        """Ids up to the last that came and were refused before they began."""

    def is_new(self, number: int) -> bool:
        """Whether this id is unused."""
        return number > self.last or number in self._free

    def begin(self, number: int, digest: int) -> Running:
        """Use an id that `is_new`. Raises `Overloaded` when too much has no answer yet."""
        if len(self.running) >= self.MOST:
            raise Overloaded(f"{self.MOST} requests of this session have no answer yet", hint="Wait for answers.")
        if number > self.last:
            self.last = number
        else:
            self._free.discard(number)
        running = self.running[number] = Running(digest)
        return running

    def known(self, number: int, digest: int) -> Kept | Running:
        """What became of an id that was used.

        Raises:
            IdReused: It was used for something else.
            AnswerGone: It was done, and the answer is not kept any more.
        """
        found = self.running.get(number) or self._kept.get(number)
        if found is None:
            raise AnswerGone(
                f"request {number} was done, and its answer is not kept any more",
                hint="Acknowledge an answer only when it has come; at most 64 are kept.",
            )
        if found.digest != digest:
            raise IdReused(
                f"the id {number} was used in this session for another request",
                field="id",
                hint="Count on for a new request; send the same bytes for a repeat.",
            )
        return found

    def finish(self, number: int, answer: Any, size: int) -> None:
        """Keep the answer, and give it to whoever waits for it."""
        running = self.running.pop(number)
        if number > self._acknowledged:
            self._kept[number] = Kept(running.digest, answer, size)
            self._bytes += size
            while len(self._kept) > self.MOST or (self._bytes > self.MOST_BYTES and len(self._kept) > 1):
                self._drop(next(iter(self._kept)))
        for waiter in running.waiters:
            waiter(answer)

    def forget(self, number: int, answer: Any) -> None:
        """It was refused before it began: the id may be used once more."""
        running = self.running.pop(number)
        self._free.add(number)
        if len(self._free) > self.MOST:
            self._free.discard(min(self._free))
        for waiter in running.waiters:
            waiter(answer)

    def acknowledge(self, number: int) -> None:
        """Every answer up to this one has come."""
        if number <= self._acknowledged:
            return
        self._acknowledged = number
        for known in [one for one in self._kept if one <= number]:
            self._drop(known)

    def _drop(self, number: int) -> None:
        self._bytes -= self._kept.pop(number).size
