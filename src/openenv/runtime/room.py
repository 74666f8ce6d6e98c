"""How many sessions there may be. A session holds its place until its environment has been closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.runtime.census import Census

__all__ = ["Room"]

PATIENCE_S = 1.0
"""For how long somebody waits for a place that is being given up: an environment that closes at once takes less."""
_LOOKING_S = 0.01
"""How often somebody who waits looks whether another worker has a place."""


@dataclass(slots=True)
class _Waiting:
    come_in: Callable[[], None]
    timer: asyncio.TimerHandle


class Room:
    """The places of a server; used on the event loop.

    Args:
        limit: How many there are.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._closing = 0
        self._census: Census | None = None
        self._waiting: deque[_Waiting] = deque()
        self._looking = False

    def share(self, census: Census) -> None:
        """The places are those of several workers together, who count in this table."""
        self._census = census

    @property
    def taken(self) -> int:
        """Places of sessions: those being made, those that are there, and those whose environment is still being closed."""
        return self._taken

    @property
    def taken_everywhere(self) -> int:
        """The same with those of all workers."""
        return self._taken + (self._census.active_elsewhere if self._census is not None else 0)

    def take(self, places: int = 1) -> bool:
        """Take places for new sessions: all of them, or False and none."""
        with nullcontext() if self._census is None else self._census.locked():
            if self.taken_everywhere + places > self._limit:
                return False
            self._taken += places
            self._tell()
        return True

    def has(self, places: int) -> bool:
        """Whether so many are free, or will be once those that are being given up are."""
        closing = self._closing + (self._census.closing_elsewhere if self._census is not None else 0)
        return self.taken_everywhere - closing + places <= self._limit

    def give_up(self) -> None:
        """A place is free at once: its session has no environment of its own."""
        self._taken -= 1
        self._tell()

    def closing_begins(self) -> None:
        """A session has ended; its place is free when its environment is closed."""
        self._closing += 1
        self._tell()

    def closed(self) -> None:
        """An environment was closed: its place is free, and the first who waits comes in."""
        self._closing -= 1
        self.give_up()
        self._come_in()

    def wait(self, come_in: Callable[[], None], give_up: Callable[[], None]) -> bool:
        """Wait for a place that is being given up: call one of the two later. False where none is, or others wait for it."""
        elsewhere = self._census.closing_elsewhere if self._census is not None else 0
        if len(self._waiting) >= self._closing + elsewhere:
            return False

        def late() -> None:
            self._waiting.remove(one)
            give_up()

        one = _Waiting(come_in, asyncio.get_running_loop().call_later(PATIENCE_S, late))
        self._waiting.append(one)
        if elsewhere and not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOKING_S, self._look)
        return True

    def _come_in(self) -> None:
        if self._waiting:
            first = self._waiting.popleft()
            first.timer.cancel()
            first.come_in()

    def _look(self) -> None:
        """Another worker does not tell when it has closed an environment."""
        if self.taken_everywhere < self._limit:
            self._come_in()
        self._looking = bool(self._waiting)
        if self._looking:
            asyncio.get_running_loop().call_later(_LOOKING_S, self._look)

    def _tell(self) -> None:
        if self._census is not None:
            self._census.put(self._taken, self._closing)
