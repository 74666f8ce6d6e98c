"""The frames between a server and its worker processes: ten bytes of head, then the payload.

The server trusts nothing that comes out of a worker: a frame of an unknown kind or length is the end of that worker.
"""

from __future__ import annotations

import signal
import struct
from typing import Final

__all__ = [
    "ANSWER_LIMIT",
    "CANCEL_SIGNAL",
    "CLOSE",
    "CLOSED",
    "DYING",
    "EVENT",
    "HEAD",
    "NOTICE",
    "OPEN",
    "PERFORM",
    "PLAN",
    "READY",
    "RESULT",
    "SAID_LIMIT",
    "TOOLS",
    "FrameReader",
    "frame",
]

HEAD: Final = struct.Struct("<IBxI")
"""The payload's length, the kind, and the number of the order that the frame belongs to."""

PLAN, OPEN, PERFORM, CLOSE = 1, 2, 3, 4
"""To the worker: what to serve, a world to make, an operation, the end of the world."""
READY, RESULT, NOTICE, EVENT, TOOLS, CLOSED, DYING = 65, 66, 67, 68, 69, 70, 71
"""From it: it has loaded the environment, what came of an order, a notice, what the environment says unasked, a changed list of
tools, the world's end, its own."""

CANCEL_SIGNAL: Final[int] = getattr(signal, "SIGURG", 0)
"""Says that the running operation's caller has given up. It is ignored by default: no environment that changes it is ended."""

ANSWER_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of the longest answer that an operation may have."""
SAID_LIMIT: Final = 262_144
"""Bytes of the longest notice or event; a longer one is not sent."""
_LIMITS: Final = {RESULT: ANSWER_LIMIT, READY: 65_536, NOTICE: SAID_LIMIT, EVENT: SAID_LIMIT, TOOLS: 0, CLOSED: 1, DYING: 65_536}


def frame(kind: int, number: int, payload: bytes) -> bytes:
    """The bytes of one frame."""
    return HEAD.pack(len(payload), kind, number) + payload


class FrameReader:
    """Takes bytes as they come, and gives whole frames."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._needed = HEAD.size

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames that are complete now: kind, number, payload. Raises ``ValueError`` for what can be none."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return []
            data = bytes(self._kept)
            self._kept = bytearray()
        found: list[tuple[int, int, bytes]] = []
        at, end = 0, len(data)
        while end - at >= HEAD.size:
            length, kind, number = HEAD.unpack_from(data, at)
            if length > _LIMITS.get(kind, -1):
                raise ValueError(f"a frame of kind {kind} and {length} bytes")
            after = at + HEAD.size + length
            if after > end:
                self._needed = after - at
                break
            found.append((kind, number, data[at + HEAD.size : after]))
            at = after
        else:
            self._needed = HEAD.size
        if at < end:
            self._kept += data[at:]
        return found
