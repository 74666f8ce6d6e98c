"""Two ways to write to a client: a door's, and plain ASGI's."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from openenv.server.door import Door, Hand
from openenv.server.stall import Stall

__all__ = ["AsgiLine", "DoorLine", "WayOut"]

log = logging.getLogger("openenv.server")

_SLOWEST = 1024 * 1024
"""Bytes in a second that a client has to take of a long frame. What it takes of one cannot be seen through ASGI."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class WayOut(Protocol):
    """A connection's way out."""

    def write(self, frame: bytes) -> None:
        """Send a frame, after those before it. Nothing when the connection is gone."""

    def read(self, wanted: bool) -> None:
        """Take frames from the client, or leave them where they are so that it has to wait."""

    @property
    def clogged(self) -> bool:
        """Whether the client does not read what it was sent."""
        ...

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the connection once everything was sent, or at once when the client does not read."""


class DoorLine:
    """Past ASGI: what `openenv.server.serve` has."""

    def __init__(self, door: Door, send: Send, *, binary: bool) -> None:
        if binary:
            door.speak_binary()
        self._door = door
        self._send = send
        self._closing: asyncio.Task[None] | None = None

    def begin(self, hand: Hand) -> None:
        """From now on frames go to this hand."""
        self._door.give(hand)

    def write(self, frame: bytes) -> None:
        self._door.write(frame)

    def read(self, wanted: bool) -> None:
        self._door.read(wanted)

    @property
    def clogged(self) -> bool:
        return self._door.clogged

    @property
    def waiting(self) -> int:
        return self._door.waiting

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            if self._door.clogged:
                self._door.drop()
            else:
                self._closing = asyncio.get_running_loop().create_task(_closed(self._send, code, reason))


class AsgiLine:
    """Through ASGI: frames wait here until the server underneath has taken those before them."""

    FEW = 64 * 1024
    """Bytes; with more than these waiting the client does not read, as far as one can tell from here."""

    def __init__(self, send: Send, *, binary: bool) -> None:
        self._hand: Hand | None = None
        self._send = send
        self._before = 0
        """Bytes of the last frame: it has to be taken before the next one is."""
        self._kind = "bytes" if binary else "text"
        self._frames: deque[bytes] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._ended = False
        self.waiting = 0

    def begin(self, hand: Hand) -> None:
        """This hand is to be told when the client reads again, or never will; its frames it is given."""
        self._hand = hand

    def write(self, frame: bytes) -> None:
        if self._ended:
            return
        self._frames.append(frame)
        self.waiting += len(frame)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def read(self, wanted: bool) -> None:
        if wanted or self._ended:  # only who reads learns that the client is gone
            self._may_read.set()
        else:
            self._may_read.clear()

    async def may_read(self) -> None:
        """Wait until frames are taken again."""
        await self._may_read.wait()

    @property
    def clogged(self) -> bool:
        return self.waiting > self.FEW

    def close(self, code: int, reason: str) -> None:
        if not self._ended:
            self._ended = True
            waits = self._writing
            if waits is not None and self.clogged:
                waits.cancel()
            self._writing = asyncio.get_running_loop().create_task(_closed(self._send, code, reason, waits))
            self._may_read.set()

    def end(self) -> None:
        """The client is gone."""
        self._ended = True
        self._frames.clear()
        self.waiting = 0
        if self._writing is not None:
            self._writing.cancel()

    async def _write(self) -> None:
        try:
            while self._frames:
                frame = self._frames.popleft()
                was_clogged = self.clogged
                message = {"type": "websocket.send", self._kind: frame if self._kind == "bytes" else frame.decode()}
                async with asyncio.timeout(Stall.PATIENCE_S + self._before / _SLOWEST):
                    await self._send(message)
                self._before = len(frame)
                self.waiting -= len(frame)
                if was_clogged and not self.clogged and self._hand is not None:
                    self._hand.flow()
        except (OSError, RuntimeError) as error:
            # The server's ASGI layer raises one of these when the client went away; or nothing was taken for too long.
            log.debug("a frame could not be sent: %s", error)
            self._ended = True
            self._frames.clear()
            self.waiting = 0
            self.read(True)
            if self._hand is not None:
                self._hand.end()
        finally:
            self._writing = None


async def _closed(send: Send, code: int, reason: str, after: asyncio.Task[None] | None = None) -> None:
    try:
        if after is not None:
            await asyncio.wait([after])
        await send({"type": "websocket.close", "code": code, "reason": reason})
    except (OSError, RuntimeError) as error:
        log.debug("the socket could not be closed: %s", error)
