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

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """More waits than the transport likes."""
        if self._timer is None:
            self._look_later()

    def end(self) -> None:
        """It has gone out, or the connection is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._left = self._transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(self.PATIENCE_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() < self._left:
            self._look_later()
            return
        log.warning("a client took nothing of %d bytes for %g s: its connection is ended", self._left, self.PATIENCE_S)
        self._transport.abort()
