"""What one connection says in one dialect, and how it knows that an answer is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from benchmarks.load.order import Order
from benchmarks.load.wire import CLOSE, PING, PONG, Script, WrongAnswer, frame, take_close, take_frame

__all__ = ["SocketTalk", "Talk", "message", "same_echo"]


def message(number: int) -> str:
    """What session ``number`` says: each says something else, so that an answer meant for another is noticed."""
    return f"hello from the benchmark, session {number:05}"


def same_echo(observation: Mapping[str, Any], number: int) -> None:
    """Raise `WrongAnswer` unless the observation is the echo of that session's message."""
    if observation.get("echoed") != message(number):
        raise WrongAnswer(f"expected the echo of {message(number)!r}", str(observation))


class Talk(ABC):
    """One connection. The first step's answer is read and checked; the later ones have to be the same to the byte."""

    chunk = 4096
    """How much is read at once."""
    outlives = False
    """Whether its sessions outlive their connection. Servers hang up on HTTP connections that are idle for some seconds."""

    def __init__(self, order: Order, numbers: range) -> None:
        self.numbers = numbers
        """Its sessions."""
        self.headers = order.headers
        if order.token is not None:
            self.headers += (f"Authorization: Bearer {order.token}",)
        self.answer_bytes = 0

    @property
    def steps(self) -> int:
        """How many steps one request asks for."""
        return 1

    @abstractmethod
    def opening(self) -> Script:
        """Open the connection and its sessions, and reset them."""

    @abstractmethod
    def learning(self) -> Script:
        """Step once, check the answer, and keep it as the right one."""

    @abstractmethod
    def ask(self) -> bytes:
        """The next request, to be sent when the one before has been answered."""

    @abstractmethod
    def right(self, data: bytes) -> bool:
        """Whether this is the whole answer, and the right one."""

    @abstractmethod
    def more(self, data: bytes) -> tuple[bytes, bytes]:
        """Of what is not the right answer: what to keep, which may be the right one now, and what to send at once.

        Raises `WrongAnswer` when it is a whole answer, and another one.
        """

    @abstractmethod
    def closing(self) -> Script:
        """End the sessions and the connection."""


class SocketTalk(Talk):
    """What all dialects on WebSockets share."""

    def more(self, data: bytes) -> tuple[bytes, bytes]:
        """Pings may come before an answer and after it."""
        buffer, kept, reply = bytearray(data), b"", b""
        while True:
            before = bytes(buffer)
            if (found := take_frame(buffer)) is None:
                return kept + before, reply
            opcode, payload = found
            if opcode == PING:
                reply += frame(payload, PONG)
                continue
            kept += before[: len(before) - len(buffer)]
            if not self.right(kept):
                raise WrongAnswer("not the answer that the first step had", payload)

    def closing(self) -> Script:
        yield frame(b"\x03\xe8", CLOSE), take_close
