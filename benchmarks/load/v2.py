"""Protocol v2: a step for each frame, or one frame that steps all sessions of its connection; in JSON or MessagePack."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from benchmarks.load.order import Order
from benchmarks.load.talk import SocketTalk, message, same_echo
from benchmarks.load.wire import BINARY, TEXT, Script, WrongAnswer, answer_frame, frame, take_message, upgrade

__all__ = ["BatchTalk", "Encoding", "Json", "MessagePack", "MessagePackTalk", "V2Talk"]


class Encoding(ABC):
    """How frames are written. A request and an answer begin with what changes, so that the rest is made only once."""

    protocol: str
    opcode: int

    @abstractmethod
    def dump(self, value: Any) -> bytes:
        """A value as bytes."""

    @abstractmethod
    def load(self, payload: bytes) -> Any:
        """The value of a frame."""

    @abstractmethod
    def request(self, number: int, ack: int, rest: bytes) -> bytes:
        """A request with this id, which acknowledges that one, and with what `dump` made of all its other keys."""

    @abstractmethod
    def beginning(self, number: int) -> bytes:
        """How the answer to a request with this id begins."""


class Json(Encoding):
    """``openenv.v2``."""

    protocol = "openenv.v2"
    opcode = TEXT

    def dump(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def load(self, payload: bytes) -> Any:
        return json.loads(payload)

    def request(self, number: int, ack: int, rest: bytes) -> bytes:
        return b'{"id":%d,%s%s' % (number, b'"ack":%d,' % ack if ack else b"", rest[1:])

    def beginning(self, number: int) -> bytes:
        return b'{"id":%d,' % number


class MessagePack(Encoding):
    """``openenv.v2+msgpack``."""

    protocol = "openenv.v2+msgpack"
    opcode = BINARY

    def __init__(self) -> None:
        import msgpack

        self._pack: Any = msgpack.packb
        self._unpack: Any = msgpack.unpackb

    def dump(self, value: Any) -> bytes:
        packed: bytes = self._pack(value)
        return packed

    def load(self, payload: bytes) -> Any:
        return self._unpack(payload)

    def request(self, number: int, ack: int, rest: bytes) -> bytes:
        known: bytes = self._pack({"id": number, "ack": ack} if ack else {"id": number})
        # Maps of fewer than 16 entries begin with one byte, 0x80 and their number.
        return bytes([known[0] + (rest[0] & 0x0F)]) + known[1:] + rest[1:]

    def beginning(self, number: int) -> bytes:
        packed: bytes = self._pack(number)
        return b"\xa2id" + packed


class V2Talk(SocketTalk):
    """A session, and one step in flight, on each connection. Every answer is acknowledged by the request after it."""

    def __init__(self, order: Order, numbers: range, encoding: Encoding | None = None) -> None:
        super().__init__(order, numbers)
        self._encoding = encoding or Json()
        self._id = 0
        self._rest = b""
        self._tail = b""
        self._right = b""
        self.ids: list[str] = []

    def opening(self) -> Script:
        yield from upgrade("/ws", self.headers, self._encoding.protocol)
        yield from self._hello()
        opened = yield from self._asked("open", {"count": len(self.numbers)})
        self.ids = opened["sessions"]
        if len(self.ids) != len(self.numbers):
            raise WrongAnswer(f"expected {len(self.numbers)} sessions", str(opened))
        yield from self._resetting()

    def _hello(self) -> Script:
        # The server speaks first: nothing is sent for this.
        payload = yield b"", take_message
        if self._encoding.load(payload).get("event") != "hello":
            raise WrongAnswer("expected a hello", payload)

    def _resetting(self) -> Script:
        yield from self._asked("reset", session=self.ids[0])

    def _asked(self, op: str, data: dict[str, Any] | None = None, session: str | None = None) -> Any:
        asked: dict[str, Any] = {"op": op}
        if session is not None:
            asked["session"] = session
        if data is not None:
            asked["data"] = data
        payload = yield self._framed(self._encoding.dump(asked)), take_message
        answer = self._encoding.load(payload)
        if answer.get("id") != self._id or "ok" not in answer:
            raise WrongAnswer(f"{op} was refused", payload)
        return answer["ok"]

    def _framed(self, rest: bytes, *, acknowledge: bool = False) -> bytes:
        self._id += 1
        payload = self._encoding.request(self._id, self._id - 1 if acknowledge else 0, rest)
        return frame(payload, self._encoding.opcode)

    def learning(self) -> Script:
        self._rest = self._encoding.dump(self._step())
        payload = yield self._framed(self._rest), take_message
        self._check(self._encoding.load(payload))
        _, beginning, tail = payload.partition(self._encoding.beginning(self._id))
        if not beginning:
            raise WrongAnswer("an answer begins with its id", payload)
        self._lead = payload[: len(payload) - len(beginning) - len(tail)]
        self._tail = tail
        self.answer_bytes = len(answer_frame(payload, self._encoding.opcode))

    def _step(self) -> dict[str, Any]:
        return {"op": "step", "session": self.ids[0], "data": {"message": message(self.numbers[0])}}

    def _check(self, answer: Any) -> None:
        if "ok" not in answer:
            raise WrongAnswer("the step was refused", str(answer))
        same_echo(answer["ok"]["observation"], self.numbers[0])

    def ask(self) -> bytes:
        request = self._framed(self._rest, acknowledge=True)
        self._right = answer_frame(self._lead + self._encoding.beginning(self._id) + self._tail, self._encoding.opcode)
        return request

    def right(self, data: bytes) -> bool:
        return data == self._right

    def closing(self) -> Script:
        for session in self.ids:
            yield from self._asked("close", session=session)
        yield from super().closing()


class MessagePackTalk(V2Talk):
    """The same in MessagePack."""

    def __init__(self, order: Order, numbers: range) -> None:
        super().__init__(order, numbers, MessagePack())


class BatchTalk(V2Talk):
    """One frame steps all sessions of the connection, and one frame has all their results."""

    chunk = 1 << 18

    @property
    def steps(self) -> int:
        return len(self.numbers)

    def _resetting(self) -> Script:
        entries = [{"session": session, "reset": {}} for session in self.ids]
        answer = yield from self._asked("batch", {"entries": entries})
        for result in answer["results"]:
            if "ok" not in result:
                raise WrongAnswer("a reset was refused", str(result))

    def _step(self) -> dict[str, Any]:
        entries = [
            {"session": session, "action": {"message": message(number)}}
            for session, number in zip(self.ids, self.numbers, strict=True)
        ]
        return {"op": "batch", "data": {"entries": entries}}

    def _check(self, answer: Any) -> None:
        results = answer["ok"]["results"] if "ok" in answer else []
        if len(results) != len(self.numbers):
            raise WrongAnswer(f"expected {len(self.numbers)} results", str(answer))
        for number, result in zip(self.numbers, results, strict=True):
            if "ok" not in result:
                raise WrongAnswer("a step was refused", str(result))
            same_echo(result["ok"]["observation"], number)
