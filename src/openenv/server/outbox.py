"""What is answered in one turn of the event loop leaves in one go.

A write to a socket wakes the process at its other end, and on one machine that costs the writer more than the write
itself: about a fifth of a step. While the first of several answers wakes a client, the others reach it awake.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport, get_running_loop
from typing import ClassVar
from weakref import WeakKeyDictionary

__all__ = ["Outbox"]


class Outbox:
    """The frames that wait for the end of this turn, of every socket of an event loop, in their order.

    Whoever writes to a transport past it calls `send` before.
    """

    AT_ONCE = 32
    """No more wait: the first client is to work on its answer while the last one's is still being made."""
    LONGEST = 16_384
    """Bytes of a frame that may wait; a longer one is not worth holding, and goes at once with all that waits."""

    _known: ClassVar[WeakKeyDictionary[AbstractEventLoop, Outbox]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._waiting: list[tuple[Transport, bytes]] = []

    @classmethod
    def of(cls, loop: AbstractEventLoop) -> Outbox:
        """The one of this event loop."""
        return cls._known.setdefault(loop, cls())

    def put(self, transport: Transport, frame: bytes, at_once: bool = False) -> None:
        """Send a frame at the end of this turn, or with ``at_once`` now; what already waits goes first."""
        waiting = self._waiting
        waiting.append((transport, frame))
        if at_once or len(waiting) >= self.AT_ONCE or len(frame) > self.LONGEST:
            self.send()
        elif len(waiting) == 1:
            get_running_loop().call_soon(self.send)

    def send(self) -> None:
        """Send what waits."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            for transport, frame in waiting:
                if not transport.is_closing():
                    transport.write(frame)
