"""One session for each WebSocket: OpenEnv's dialect, ours and 0.10.0's alike, and the floor, which sends each frame back."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.load.order import Order
from benchmarks.load.talk import SocketTalk, message, same_echo
from benchmarks.load.wire import Script, WrongAnswer, answer_frame, frame, take_message, upgrade

__all__ = ["EchoTalk", "OpenEnvTalk"]


class OpenEnvTalk(SocketTalk):
    """``{"type": "step", "data": …}`` on ``/ws``."""

    def __init__(self, order: Order, numbers: range) -> None:
        super().__init__(order, numbers)
        (self._number,) = numbers
        self._text = json.dumps({"type": "step", "data": {"message": message(self._number)}}, separators=(",", ":")).encode()
        self._frame = frame(self._text)
        self._answer = b""

    def opening(self) -> Script:
        yield from upgrade("/ws", self.headers)
        _observation((yield frame(b'{"type":"reset"}'), take_message))

    def learning(self) -> Script:
        payload = yield self._frame, take_message
        same_echo(_observation(payload), self._number)
        self._expect(payload)

    def _expect(self, payload: bytes) -> None:
        self._answer = answer_frame(payload)
        self.answer_bytes = len(self._answer)

    def ask(self) -> bytes:
        return self._frame

    def right(self, data: bytes) -> bool:
        return data == self._answer


class EchoTalk(OpenEnvTalk):
    """The same frames, to a server that sends every frame back."""

    def opening(self) -> Script:
        yield from upgrade("/ws", self.headers)
        sent = b'{"type":"reset"}'
        if (payload := (yield frame(sent), take_message)) != sent:
            raise WrongAnswer("not what was sent", payload)

    def learning(self) -> Script:
        payload = yield self._frame, take_message
        if payload != self._text:
            raise WrongAnswer("not what was sent", payload)
        self._expect(payload)


def _observation(payload: bytes) -> dict[str, Any]:
    answer = json.loads(payload)
    if answer.get("type") != "observation":
        raise WrongAnswer("expected an observation", payload)
    observation: dict[str, Any] = answer["data"]["observation"]
    return observation
