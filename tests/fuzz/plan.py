"""What a conversation will say and what it expects, before any socket is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = ["Ask", "Check", "Conversation", "HttpTalk", "Say", "SocketTalk", "kept", "slot"]

Check = Callable[[Any], str | None]
"""What is wrong with a reply (a frame's JSON, or a `wire.Response`); None when nothing is."""

Ending = Literal["asked", "farewell", "reset", "fin", "half frame", "unread"]


def slot(number: int) -> str:
    """Stands for the id of a session that will be made while the conversation goes on; as long as one, so that lengths hold."""
    return f"session-slot-{number}".ljust(36, "-")


@dataclass(slots=True)
class Say:
    """Bytes on a WebSocket, and what is owed for them."""

    data: bytes
    what: str
    """What they are, for a report."""
    checks: tuple[Check, ...] = ()
    """One for each reply owed, in order."""
    pongs: tuple[bytes, ...] = ()
    ends: frozenset[int] = frozenset()
    """The server closes the socket with one of these codes."""


@dataclass(slots=True)
class SocketTalk:
    """A WebSocket conversation."""

    path: str
    says: list[Say]
    bursts: list[int]
    """How many of them are sent before their replies are read."""
    ending: Ending = "farewell"
    ending_code: int = 1000
    headers: dict[str, str] = field(default_factory=dict)
    before: HttpTalk | None = None
    """Spoken first, over HTTP; it may fill the slots of ``path``."""
    refusal: Check | None = None
    """The socket is refused with a frame that passes this, and closed with 1000."""
    reply_opcode: int = 1
    """What replies are sent as."""

    @property
    def length(self) -> int:
        return len(self.says)

    @property
    def frames(self) -> int:
        return len(self.says) + (self.before.frames if self.before else 0)


@dataclass(slots=True)
class Ask:
    """A request over HTTP."""

    data: bytes
    what: str
    check: Check
    keeps: tuple[int, str] | None = None
    """Put the answer's value of this key into this slot."""
    keeps_header: tuple[int, str] | None = None
    ends: bool = False
    """The server may end the connection instead of an answer, or after it."""
    stream: bool = False
    """The answer has no end: its head is enough."""


@dataclass(slots=True)
class HttpTalk:
    """Requests one after the other, some of them at once."""

    asks: list[Ask]
    bursts: list[int]
    abandons: bool = False
    """The client vanishes in the middle of one more request."""

    @property
    def length(self) -> int:
        return len(self.asks)

    @property
    def frames(self) -> int:
        return len(self.asks)


Conversation = SocketTalk | HttpTalk


def kept(talk: Conversation, numbers: Sequence[int]) -> Conversation:
    """The same conversation with these frames or requests only, each sent alone."""
    bursts = [1] * len(numbers)
    if isinstance(talk, HttpTalk):
        return replace(talk, asks=[talk.asks[number] for number in numbers], bursts=bursts)
    return replace(talk, says=[talk.says[number] for number in numbers], bursts=bursts)
