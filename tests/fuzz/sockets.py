"""Conversations over WebSockets: OpenEnv's dialect, the simple one, JSON-RPC inside ``/ws`` and on ``WS /mcp``."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random

from tests.fuzz.judge import coded, framed, rpc
from tests.fuzz.messages import Message, in_frame, is_farewell, openenv, rpc_call, simple
from tests.fuzz.plan import Ask, Check, HttpTalk, Say, SocketTalk, slot
from tests.fuzz.values import Hostile, write
from tests.fuzz.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Response, frame

__all__ = ["VIOLATIONS", "McpFrameDialect", "McpSocketDialect", "OpenEnvDialect", "SimpleDialect", "SocketDialect"]


class SocketDialect(ABC):
    """What dialects of one reply a frame have in common."""

    share = 1.0
    targets = ("thread", "async", "tool")
    path = "/ws"
    spoilt = 0.55
    """How many of the messages have a fault."""

    @abstractmethod
    def good(self, rng: Random, target: str) -> Message:
        """A message as it should be, and the check of its reply."""

    @property
    @abstractmethod
    def any_reply(self) -> Check:
        """The check of a reply to no matter what."""

    @property
    @abstractmethod
    def to_binary(self) -> Check:
        """The check of a reply to a binary frame."""

    def farewell(self, rng: Random) -> str | None:
        """A message that asks the server to close; None where the dialect has none."""
        return None

    def conversation(self, rng: Random, target: str) -> SocketTalk:
        """Some frames in any order, in bursts, and one way to end."""
        says: list[Say] = []
        for _ in range(rng.choice((0, 1, 2, 5, 10, 20, 40, 80))):
            says.append(self._say(rng, target))
            if says[-1].ends:
                break
        talk = SocketTalk(self.path, says, _bursts(rng, says))
        talk.ending = rng.choice(("farewell", "farewell", "reset", "fin", "half frame", "unread"))
        talk.ending_code = rng.choice((1000, 1001, 1003, 3000, 4999))
        farewell = self.farewell(rng)
        if farewell is not None and not (says and says[-1].ends) and rng.random() < 0.3:
            says.append(Say(frame(farewell.encode(), rng=rng), farewell, ends=frozenset({1000})))
            talk.bursts.append(1)
        if self.path == "/ws" and rng.random() < 0.1:
            _attach(rng, talk)
        return talk

    def _say(self, rng: Random, target: str) -> Say:
        hostile = Hostile(rng)
        if rng.random() < 0.02:
            return rng.choice(VIOLATIONS)(rng)
        message, check = self.good(rng, target)
        text = write(message)
        if rng.random() < self.spoilt:
            text, check = hostile.written(hostile.spoilt(message)), self.any_reply
            if rng.random() < 0.03:
                text = rng.choice((hostile.text(), write(hostile.value()), hostile.garbled("")))
        if is_farewell(text):
            return Say(frame(text.encode(), rng=rng), text, ends=frozenset({1000}))
        return self._wrapped(rng, text, check)

    def _wrapped(self, rng: Random, text: str, check: Check) -> Say:
        payload = text.encode()
        chosen = rng.random()
        if chosen < 0.85:
            return Say(frame(payload, rng=rng), text, (check,))
        if chosen < 0.93:
            data, pongs = _fragments(rng, payload, TEXT)
            return Say(data, f"in fragments: {text}", (check,), pongs)
        if chosen < 0.97:
            beside = rng.randbytes(rng.randrange(126))
            data = frame(beside, PING, rng=rng) + frame(beside, PONG, rng=rng) + frame(payload, rng=rng)
            return Say(data, f"after a ping: {text}", (check,), (beside,))
        if rng.random() < 0.5:
            data, pongs = _fragments(rng, payload, BINARY)
            return Say(data, "a binary message in fragments", (self.to_binary,), pongs)
        return Say(frame(payload, BINARY, rng=rng), "a binary frame", (self.to_binary,))


class OpenEnvDialect(SocketDialect):
    """``{"type": …, "data": …}``."""

    share = 7.0

    def good(self, rng: Random, target: str) -> Message:
        return openenv(rng, target)

    @property
    def any_reply(self) -> Check:
        return framed

    @property
    def to_binary(self) -> Check:
        return coded("VALIDATION_ERROR")

    def farewell(self, rng: Random) -> str | None:
        return '{"type":"close"}'


class SimpleDialect(OpenEnvDialect):
    """``{"action": …}``; some frames are of the other dialect, as the socket allows."""

    share = 4.0

    def good(self, rng: Random, target: str) -> Message:
        return openenv(rng, target) if rng.random() < 0.1 else simple(rng, target)

    def farewell(self, rng: Random) -> str | None:
        return '{"action":"close"}'


class McpFrameDialect(OpenEnvDialect):
    """``{"type": "mcp", "data": …}``."""

    share = 3.0
    targets = ("thread", "tool", "tool")

    def good(self, rng: Random, target: str) -> Message:
        message, check = rpc_call(rng, target)
        return {"type": "mcp", "data": message}, in_frame(check)


class McpSocketDialect(SocketDialect):
    """Bare JSON-RPC on ``WS /mcp``."""

    share = 2.5
    targets = ("tool", "tool", "thread")
    path = "/mcp"

    def good(self, rng: Random, target: str) -> Message:
        return rpc_call(rng, target)

    @property
    def any_reply(self) -> Check:
        return rpc

    @property
    def to_binary(self) -> Check:
        return rpc


def _bursts(rng: Random, says: list[Say]) -> list[int]:
    """How many frames are sent at a time; what ends the socket comes alone, so that everything before it is answered."""
    left = len(says) - bool(says and says[-1].ends)
    bursts: list[int] = []
    while left:
        bursts.append(min(left, rng.choice((1, 1, 2, 5, 40))))
        left -= bursts[-1]
    return [*bursts, 1] if says and says[-1].ends else bursts


def _fragments(rng: Random, payload: bytes, opcode: int) -> tuple[bytes, tuple[bytes, ...]]:
    """A message in several frames, some of them empty, with pings between them; and the pongs that are owed."""
    cuts = sorted(rng.randrange(len(payload) + 1) for _ in range(rng.randrange(1, 5)))
    pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data, pongs = b"", []
    for number, piece in enumerate(pieces):
        data += frame(piece, CONTINUATION if number else opcode, rng=rng, fin=number == len(pieces) - 1)
        if number < len(pieces) - 1 and rng.random() < 0.5:
            pongs.append(rng.randbytes(rng.randrange(10)))
            data += frame(pongs[-1], PING, rng=rng)
    return data, tuple(pongs)


def _attach(rng: Random, talk: SocketTalk) -> None:
    """Let the conversation be about a session that was made over HTTP, or about none that there is."""
    if rng.random() < 0.2:
        talk.path = f"/ws?session_id={rng.choice(('', 'nobody', '%00', 'x' * 3000, slot(9)))}"
        talk.refusal = coded("SESSION_ERROR")
        return
    made = b"POST /sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
    talk.before = HttpTalk([Ask(made, "create a session", _is_created, keeps=(0, "session_id"))], [1])
    talk.path = f"/ws?session_id={slot(0)}"


def _is_created(response: Response) -> str | None:
    return None if response.status == 201 else f"the status {response.status}"


_BROKEN = frozenset({1002})


def _violation(data: bytes, what: str, *codes: int) -> Say:
    return Say(data, what, ends=frozenset(codes) or _BROKEN)


def _closing(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def _announced(length: int) -> bytes:
    """The head of a text frame that is so long, without its text."""
    return struct.pack("!BBQ", 0x81, 0xFF, length) + b"mask"


_NO_UTF8 = (b"\xff\xfe", b'{"a":"\xc3"}', b"\xed\xa0\x80", b"{}\x80")
VIOLATIONS: list[Callable[[Random], Say]] = [
    lambda rng: _violation(frame(b"{}", rng=rng, masked=False), "an unmasked frame"),
    lambda rng: _violation(frame(b"{}", rng=rng, reserved=rng.randrange(1, 8)), "reserved bits"),
    lambda rng: _violation(frame(b"{}", rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), rng=rng), "an opcode that is none"),
    lambda rng: _violation(frame(b"{}", CONTINUATION, rng=rng, fin=rng.random() < 0.5), "a continuation of nothing"),
    lambda rng: _violation(frame(b"{", rng=rng, fin=False) + frame(b"{}", rng=rng), "a message within a message"),
    lambda rng: _violation(frame(b"x" * rng.randrange(126, 70_000), PING, rng=rng), "a ping that is too long"),
    lambda rng: _violation(frame(b"x", rng.choice((PING, PONG, CLOSE)), rng=rng, fin=False), "a control frame in fragments"),
    lambda rng: _violation(frame(b"\x03", CLOSE, rng=rng), "half a close code"),
    lambda rng: _violation(frame(_closing(rng.choice((0, 999, 1004, 1005, 1006, 2999, 5000))), CLOSE, rng=rng), "a close code"),
    lambda rng: _violation(frame(_closing(1000, b"\xff"), CLOSE, rng=rng), "a close that is no UTF-8", 1002, 1007),
    lambda rng: _violation(frame(rng.choice(_NO_UTF8), rng=rng), "no UTF-8", 1007),
    lambda rng: _violation(frame(b"{\xc3", rng=rng, fin=False) + frame(b"{", CONTINUATION, rng=rng), "half a character", 1007),
    lambda rng: _violation(_announced(17 * 2**20), "17 MB announced", 1009),
    lambda rng: _violation(_announced(2 ** rng.randrange(25, 64) - 1), "too much announced", 1009),
    lambda rng: _violation(_announced(2**63), "a length with its first bit set", 1002, 1009),
]
