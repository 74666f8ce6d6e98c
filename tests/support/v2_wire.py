"""A raw socket of protocol v2 for tests: frames as they are written down, and what came, looked through by id or name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import websockets.asyncio.client as ws
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.interop.minimal_v2_client import JSON, decode, encode

__all__ = ["ADD", "EVENTS", "Wire", "bearer", "begin", "code", "codes", "entries", "result", "step", "waiting"]

EVENTS = ["tools_changed", "session_ended", "session_taken", "environment", "progress", "log", "draining"]
_PATIENCE_S = 15.0


def code(answer: Mapping[str, Any]) -> str | None:
    """The code of an answer's error, None for ``ok``."""
    return answer["error"]["code"] if "error" in answer else None


class Wire:
    """A connection: ``put`` sends, ``answer`` and ``event`` wait for what they name and leave the rest for later."""

    def __init__(self, url: str, *offers: str, headers: Mapping[str, str] | None = None) -> None:
        self._url, self._offers, self._headers = url, offers or (JSON,), headers
        self._inbox: list[dict[str, Any]] = []
        self._last_ping = 2**52
        self.socket: ws.ClientConnection
        self.first: dict[str, Any] = {}

    async def __aenter__(self) -> Wire:
        offers = [Subprotocol(offer) for offer in self._offers]
        self.socket = await ws.connect(self._url, subprotocols=offers, additional_headers=self._headers, max_size=None)
        self.first = decode(await self.socket.recv())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.socket.close()

    @property
    def hello(self) -> dict[str, Any]:
        """What the hello told."""
        assert self.first["event"] == "hello"
        told: dict[str, Any] = self.first["data"]
        return told

    async def put(self, **frame: Any) -> None:
        """Send a frame of these keys."""
        await self.socket.send(encode(frame, self.socket.subprotocol or JSON))

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame and wait for the answer with its id."""
        await self.put(**frame)
        return await self.answer(frame["id"])

    async def raw(self, frame: str | bytes) -> dict[str, Any]:
        """Send these bytes and wait for what comes next."""
        await self.socket.send(frame)
        return await self._take(lambda _: True)

    async def answer(self, number: int | None) -> dict[str, Any]:
        """The oldest answer with this id."""
        return await self._take(lambda message: "event" not in message and message["id"] == number)

    async def event(self, name: str) -> dict[str, Any]:
        """The oldest event of this name."""
        return await self._take(lambda message: message.get("event") == name)

    async def so_far(self) -> list[dict[str, Any]]:
        """Everything that came, and was not looked at, before the answer to a ping that is sent now."""
        self._last_ping += 1
        await self.ask(id=self._last_ping, op="ping")
        came, self._inbox = self._inbox, []
        return came

    async def open(self, count: int = 1) -> list[str]:
        """New sessions, each of them reset under the id 1."""
        sessions: list[str] = (await self.ask(id=1, op="open", data={"count": count}))["ok"]["sessions"]
        for session in sessions:
            await self.ask(id=1, op="reset", session=session)
        return sessions

    async def closed(self) -> int | None:
        """The code that the server closes with."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    self._inbox.append(decode(await self.socket.recv()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None

    def lose(self) -> None:
        """Cut the connection, as a network does."""
        self.socket.transport.abort()

    async def _take(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for place, message in enumerate(self._inbox):
                    if wanted(message):
                        return self._inbox.pop(place)
                self._inbox.append(decode(await self.socket.recv()))


def step(name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An action that calls a tool of the workshop."""
    return {"type": "call_tool", "tool_name": name, "arguments": dict(arguments or {})}


ADD = step("add")


def waiting(gate: Path | str, **more: Any) -> dict[str, Any]:
    """An action that waits for a file and then adds one."""
    return step("wait", {"gate": str(gate), **more})


async def begin(wire: Wire, session: str, number: int, gate: Path | str, **frame: Any) -> None:
    """Send a step that waits for a file, and return once it runs."""
    await wire.ask(id=number, op="subscribe", session=session, data={"events": ["progress"]})
    await wire.put(id=number, op="step", session=session, data=waiting(gate), **frame)
    assert (await wire.event("progress"))["data"]["id"] == number


async def result(wire: Wire, request: int | Mapping[str, Any]) -> Any:
    """What the tool of a step returned: the step's id, or its frame."""
    return (await wire.answer(request if isinstance(request, int) else request["id"]))["ok"]["observation"]["result"]


def entries(actions: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The data of a batch of steps."""
    return {"entries": [{"session": session, "action": action} for session, action in actions.items()], **more}


def bearer(name: str) -> Mapping[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {name}"}


def codes(answers: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """The codes of several answers, None for ``ok``."""
    return [code(answer) for answer in answers]
