"""What a conversation of protocol v2 will say, and what it expects, before any socket is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

from tests.fuzz.plan import Check
from tests.fuzz.wire import TEXT

__all__ = ["Effect", "Then", "V2Say", "V2Talk", "image_slot"]

Then = Literal["go on", "wait", "farewell", "reset", "fin", "half frame"]
"""After a frame: go on, wait for every answer that is owed on its line, or lose the line without waiting."""


def image_slot(number: int) -> str:
    """Stands for the bytes of a snapshot that will be exported; as long as the placeholder of a session."""
    return f"image-slot-{number}".ljust(36, "-")


class Effect(NamedTuple):
    """Something that a frame asks for and that is to happen once."""

    slot: int
    """Whose session."""
    tag: str = ""
    """What the world's log has of it; nothing for what the log does not tell."""
    sure: bool = False
    """Nothing that happens meanwhile can keep it from being done: every error is wrong but those of ``V2Say.codes``."""


@dataclass(slots=True)
class V2Say:
    """A frame, and what is owed for it."""

    data: bytes
    """The message with placeholders; for one that breaks the WebSocket protocol, the bytes on the wire."""
    what: str
    line: int
    opcode: int = TEXT
    number: int | None = None
    """Its id; None for a frame that may have any."""
    sessions: tuple[int | None, ...] = (None,)
    """The session of each answer that is owed, by its slot."""
    effects: tuple[Effect, ...] = ()
    """In the order of a batch's entries."""
    check: Check | None = None
    """What is wrong with an ``ok``; of a batch that is answered entry by entry, with each."""
    codes: frozenset[str] | None = None
    """The errors that may answer it; None is any. Of a batch, each of its entries."""
    refused: bool = False
    """It must be an error."""
    fills: tuple[int, ...] = ()
    """The slots of the sessions that its answer names."""
    image: int | None = None
    """The slot of the image in its answer."""
    listens: frozenset[str] = frozenset()
    """The events that may come from now on."""
    again: bool = False
    """Sent once more, byte for byte, when the line was lost before its answer came."""
    reuses: bool = False
    """Its id was used for something else: not sent where that named a session which was not there or attached, and was no use."""
    keyed: bool = False
    """It opens sessions with a key: sent once more before anything else."""
    attaches: tuple[int, ...] = ()
    """Instead of a frame: come back on a new connection, attach these slots, and send what has no answer."""
    ends: frozenset[int] = frozenset()
    """The server closes the connection with one of these codes."""
    pieces: int = 1
    """Sent in so many fragments."""
    then: Then = "go on"


@dataclass(slots=True)
class V2Talk:
    """A conversation over two connections at most, and the look at its sessions afterwards."""

    binary: bool
    says: list[V2Say]
    slots: int
    """How many sessions it may have."""
    counts: bool
    """Whether the world's log has every step."""
    endings: tuple[Then, Then] = ("farewell", "farewell")
    closes: tuple[bool, ...] = (True, True, False)
    """Which sessions are closed at the end; the others are left to their leases."""

    @property
    def length(self) -> int:
        return len(self.says)

    @property
    def frames(self) -> int:
        return len(self.says)

    @property
    def sent(self) -> list[bytes]:
        return [one.data for one in self.says]

    def kept(self, numbers: Sequence[int]) -> Self:
        """As of every plan; the first session is opened in any case, and who loses a line comes back."""
        says: list[V2Say] = []
        chosen = sorted({0, *numbers})
        for number in chosen:
            say = self.says[number]
            comes_back = number + 1 < len(self.says) and bool(self.says[number + 1].attaches)
            if comes_back and number + 1 not in chosen:
                if say.ends:
                    continue
                say = replace(say, then="wait")
            says.append(replace(say, then="wait") if say.then == "go on" else say)
        return replace(self, says=says)
