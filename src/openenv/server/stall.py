"""Whether the other end of a connection reads what it is sent."""

from __future__ import annotations

import asyncio
import logging

__all__ = ["Stall"]

log = logging.getLogger("openenv.server")


class Stall:
    """Ends a connection whose client takes nothing of what waits for it, so that neither it nor its session is kept.

    Args:
        transport: The connection's.
    """

    PATIENCE_S = 30.0
    """A client that took nothing for so long does not read."""
    LAST_S = 5.0
    """The same once the server goes down: environments are closed when every connection is, and there is an end to the time."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = 0
        self._going_down = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More waits than the transport likes."""
        if self._timer is None:
            self._look_later()

    def begin_last(self) -> None:
        """The server goes down, and the connection is closed once what waits has gone out."""
        self.end()
        self._going_down = True
        self._look_later()

    def resumed(self) -> None:
        """Little enough waits."""
        if not self._going_down:  # else nothing may wait
            self.end()

    def end(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._left = self._transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._look)

    @property
    def _patience_s(self) -> float:
        return self.LAST_S if self._going_down else self.PATIENCE_S

    def _look(self) -> None:
        self._timer = None
        left = self._transport.get_write_buffer_size()
        if left < self._left or not left:
            self._look_later()
            return
        log.warning("a client took nothing of %d bytes for %g s: its connection is ended", self._left, self._patience_s)
        self._transport.abort()
