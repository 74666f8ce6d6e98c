"""What an environment says unasked, on its way from whatever thread to those who listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openenv.operation import Crossing

__all__ = ["Said"]


class Said(Crossing):
    """The events of one world. Without listeners nothing waits."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: set[Callable[[Any], None]] = set()
        """Called on the event loop with each event, in order."""

    def say(self, event: Any) -> None:
        """Send an event to those who listen; from any thread."""
        if self.listeners:
            self.send(event)

    def _deliver(self, one: Any) -> None:
        for listener in list(self.listeners):
            listener(one)
