"""A client of the soak, and what a way is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.fuzz.wire import CLOSE, PING, PONG, HttpSocket, Response, WebSocket, frame
from tests.soak.app import TOKEN

__all__ = ["AUTHORIZED", "REFUSED", "Client", "Unlike", "Way"]

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
REFUSED = "refused"


class Unlike(Exception):
    """An answer that is not what it should be."""


@dataclass(slots=True)
class Client:
    """One of the clients, with its source of chance."""

    port: int
    rng: Random
    source: str
    socket: WebSocket | None = None

    async def open(self, path: str = "/ws", *, headers: dict[str, str] | None = None) -> WebSocket:
        """A socket that has shaken hands."""
        given = AUTHORIZED if headers is None else headers
        self.socket = await WebSocket.open(self.port, path, headers=given, source=self.source)
        return self.socket

    def leave(self) -> None:
        """Let go of what a way that failed left open."""
        if self.socket is not None:
            self.socket.abort()
            self.socket = None

    async def ask(self, socket: WebSocket, message: Any) -> dict[str, Any]:
        """Send a message and read its answer."""
        await socket.send(frame(json.dumps(message).encode(), rng=self.rng))
        while True:
            opcode, payload = await socket.receive()
            if opcode == PING:
                await socket.send(frame(payload, PONG, rng=self.rng))
                continue
            if opcode == CLOSE:
                raise Unlike(f"closed with {payload!r} in answer to {message}")
            answer: dict[str, Any] = json.loads(payload)
            return answer

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request on a connection of its own."""
        socket = await HttpSocket.open(self.port, source=self.source)
        try:
            await socket.send(request(method, path, body, AUTHORIZED | headers))
            return await socket.receive()
        finally:
            socket.abort()


def request(method: str, path: str, body: Any, headers: dict[str, str]) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


Way = Callable[[Client], Awaitable[str]]
"""Lives one session, and says how that went; ``refused`` where there was none. Raises `Unlike`."""
