"""How many sessions there may be. A session holds its place until its environment has been closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Room"]

PATIENCE_S = 1.0
"""For how long somebody waits for a place that is being given up: an environment that closes at once takes less."""


@dataclass(slots=True)
class _Waiting:
    come_in: Callable[[], None]
    timer: asyncio.TimerHandle


class Room:
    """The places that no session has, and that are not free either; used on the event loop."""

    def __init__(self) -> None:
        self.opening = 0
        """Places of sessions whose environment is being made."""
        self.closing = 0
        """Places of sessions that have ended, and whose environment has not."""
        self._waiting: deque[_Waiting] = deque()

    def wait(self, come_in: Callable[[], None], give_up: Callable[[], None]) -> bool:
        """Wait for a place that is being given up: call one of the two later. False where none is, or others wait for it."""
        if len(self._waiting) >= self.closing:
            return False

        def late() -> None:
            self._waiting.remove(one)
            give_up()

        one = _Waiting(come_in, asyncio.get_running_loop().call_later(PATIENCE_S, late))
        self._waiting.append(one)
        return True

    def closed(self) -> None:
        """An environment was closed: its place is free, and the first who waits comes in."""
        self.closing -= 1
        if self._waiting:
            first = self._waiting.popleft()
            first.timer.cancel()
            first.come_in()
