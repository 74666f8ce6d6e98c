"""Messages of protocol v2 as bytes, good and spoilt, in both encodings."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgpack

from tests.fuzz.values import Hostile, Pairs, Verbatim, write

__all__ = ["Spoiler", "packed"]

_KEYS = [
    "id", "op", "session", "data", "ack", "deadline_ms", "entries", "count", "key", "events", "export", "snapshot", "reseed",
    "name", "arguments", "action", "reset", "digest",
]  # fmt: skip
_WORDS = [
    "ping", "open", "attach", "detach", "close", "reset", "step", "call_tool", "batch", "snapshot", "restore", "fork", "state",
    "list_tools", "cancel", "subscribe", "unsubscribe", "draining", "hello", "snapshot:1", "snapshot:x", ":", "AAAA", "====",
]  # fmt: skip
_PIECES = [
    b"\xc1", b"\xc7\x00\x01", b"\xd6\xff\x00\x00\x00\x00", b"\xd4\x05\x00", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff", b"\xa3\xed\xa0\x80",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\x81\xc0\xc0", b"\x81\x91\x01\x01",
    b"\x82\xa2id\x01\xa2id\x02", b"\xc4\x00", b"\xa1\xff",
]  # fmt: skip


class Spoiler(Hostile):
    """Spoils messages of v2. A batch that is answered entry by entry is not for it: who knows how many answers it has."""

    def text(self) -> str:
        return self.rng.choice(_WORDS) if self.rng.random() < 0.2 else super().text()

    def key(self) -> str:
        return self.rng.choice(_KEYS) if self.rng.random() < 0.5 else super().key()

    def frame(self, message: Any, *, binary: bool) -> bytes:
        """The message with faults, as it is sent."""
        rng = self.rng
        spoilt = self.spoilt(message)
        if rng.random() < 0.03:
            spoilt = self.value()
        if not binary:
            text = self.written(spoilt)
            return (text if rng.random() > 0.01 else self.garbled("")).encode()
        data = packed(spoilt)
        return self.garbled_bytes(data) if rng.random() < 0.2 else data

    def garbled_bytes(self, data: bytes) -> bytes:
        """MessagePack with one fault that no structure has."""
        rng = self.rng
        at = rng.randrange(len(data) + 1)
        fault = rng.randrange(6)
        if fault == 0:
            return data[:at]
        if fault == 1:
            return data[:at] + rng.choice(_PIECES) + data[at:]
        if fault == 2:
            return data[:at] + data[at + 1 :]
        if fault == 3:
            return data + rng.choice((b"\xc0", b"\x80", data[:200], b"\x00" * 9))
        if fault == 4:
            return data[:at] + rng.randbytes(1) + data[at + 1 :]
        return rng.choice((b"", b"\xc0", b"\x90", b"[]", b"{}", b"\x91" * 3000 + b"\xc0", rng.randbytes(30)))


def packed(value: Any) -> bytes:
    """MessagePack of what Python's own values are, of `Verbatim` where it is JSON, and of `Pairs`."""
    if isinstance(value, Verbatim):
        return _of_json(str(value))
    if isinstance(value, Pairs):
        return _head(0xDF, len(value)) + b"".join(packed(key) + packed(one) for key, one in value)
    if isinstance(value, dict):
        return _head(0xDF, len(value)) + b"".join(packed(key) + packed(one) for key, one in value.items())
    if isinstance(value, list):
        return _head(0xDD, len(value)) + b"".join(map(packed, value))
    try:
        return msgpack.packb(value) or b""
    except (OverflowError, ValueError):
        return msgpack.packb(float(value) if isinstance(value, int) and abs(value) < 10**300 else repr(value)[:100]) or b""


def _of_json(text: str) -> bytes:
    if len(text) > 300 and text[0] in "[{":
        return b"\x91" * min(text.count("[") + text.count("{"), 3000) + b"\x01"
    try:
        value = json.loads(text)
    except ValueError:
        return packed(text)
    if isinstance(value, str) and any("\ud800" <= one <= "\udfff" for one in value):
        return b"\xa3\xed\xa0\x80"
    return b"\xc1" if "\\ud800" in text else packed(value)


def _head(first: int, length: int) -> bytes:
    return bytes((first,)) + length.to_bytes(4, "big")


def written(message: Any, rng: Random, *, binary: bool) -> bytes:
    """A good message as it is sent: with the short heads of MessagePack or with long ones."""
    if not binary:
        return write(message).encode()
    return packed(message) if rng.random() < 0.2 else msgpack.packb(message) or b""
