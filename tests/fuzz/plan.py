"""What a conversation will say and what it expects, before any socket is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Self

__all__ = ["Ask", "Check", "Conversation", "HttpTalk", "Say", "SocketTalk", "Wrong", "slot"]

Check = Callable[[Any], str | None]
"""What is wrong with a reply (a frame's JSON, or a `wire.Response`); None when nothing is."""

Ending = Literal["asked", "farewell", "reset", "fin", "half frame", "unread"]


class Wrong(Exception):
    """A reply, or the want of one, that no client should see."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(why)
        self.what = what
        self.why = why


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

    @property
    def sent(self) -> list[bytes]:
        return [one.data for one in self.says]

    def kept(self, numbers: Sequence[int]) -> Self:
        return replace(self, says=[self.says[number] for number in numbers], bursts=[1] * len(numbers))


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

    @property
    def sent(self) -> list[bytes]:
        return [one.data for one in self.asks]

    def kept(self, numbers: Sequence[int]) -> Self:
        return replace(self, asks=[self.asks[number] for number in numbers], bursts=[1] * len(numbers))


class Conversation(Protocol):
    """A plan of any dialect."""

    @property
    def length(self) -> int:
        """How many parts it has, to be played alone."""
        ...

    @property
    def frames(self) -> int:
        """How many frames and requests are sent."""
        ...

    @property
    def sent(self) -> list[bytes]:
        """What is sent, part by part."""
        ...

    def kept(self, numbers: Sequence[int]) -> Self:
        """The same conversation with these parts only, each sent alone."""
        ...
