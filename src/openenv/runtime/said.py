"""What an environment says unasked, on its way from whatever thread to those who listen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Said"]


class Said:
    """A bounded way onto the event loop: what finds it full is dropped and counted. Without listeners nothing waits."""

    LIMIT = 1024

    def __init__(self) -> None:
        self.listeners: set[Callable[[Any], None]] = set()
        """Called on the event loop with each event, in order."""
        self.dropped = 0
        self._waiting = 0
        self._counting = threading.Lock()

    def by(self, loop: asyncio.AbstractEventLoop) -> Callable[[Any], None]:
        """What to call from any thread."""

        def say(event: Any) -> None:
            if not self.listeners:
                return
            with self._counting:
                if self._waiting >= self.LIMIT or loop.is_closed():
                    self.dropped += 1
                    return
                self._waiting += 1
            loop.call_soon_threadsafe(self._deliver, event)

        return say

    def _deliver(self, event: Any) -> None:
        with self._counting:
            self._waiting -= 1
        for listener in list(self.listeners):
            listener(event)
