"""What every way of playing a conversation needs."""

from __future__ import annotations

import json
from typing import Any

from tests.fuzz.wire import TEXT, HttpSocket, WebSocket

__all__ = ["NO_CHANCE", "Player", "Wrong", "expect_pong", "parsed"]


class Wrong(Exception):
    def __init__(self, what: str, why: str) -> None:
        super().__init__(why)
        self.what = what
        self.why = why


class Player:
    def __init__(self, port: int, names: dict[bytes, bytes], step: list[str], patience_s: float) -> None:
        self.port = port
        self.patience_s = patience_s
        self.names = names
        self.step = step
        """What is being waited for, for a report."""
        self._open: list[HttpSocket | WebSocket] = []

    def leave(self) -> None:
        """Abort what is still open, as after a failure."""
        for socket in self._open:
            socket.abort()

    def named(self, data: bytes) -> bytes:
        """The bytes with the ids of sessions in the places of the slots."""
        if b"session-slot-" in data:
            for placeholder, name in self.names.items():
                data = data.replace(placeholder, name)
        return data


class _NoChance:
    """Masks that are always the same: what is masked here is of no interest."""

    @staticmethod
    def randbytes(number: int) -> bytes:
        return bytes(number)


NO_CHANCE: Any = _NoChance()


def parsed(payload: bytes, opcode: int) -> Any:
    """The reply. A dialect of binary replies has its reading here."""
    return json.loads(payload.decode(), parse_constant=_no_constant) if opcode == TEXT else payload


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not of JSON")


def expect_pong(pongs: list[bytes], payload: bytes) -> None:
    if not pongs or pongs.pop(0) != payload:
        raise ValueError(f"a pong that is not due: {payload[:50]!r}")
