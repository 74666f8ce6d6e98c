"""A real WebSocket server that does to a client what a test tells it to: answers, silence, nonsense, sudden ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

__all__ = ["FaultyServer", "Scripted", "error", "observation", "run_faulty"]


def observation(**fields: Any) -> dict[str, Any]:
    """An observation frame, with a reward of 0.5."""
    return {"type": "observation", "data": {"observation": {"metadata": {}, **fields}, "reward": 0.5, "done": False}}


def error(code: str, message: str = "no", **more: Any) -> dict[str, Any]:
    """An error frame."""
    return {"type": "error", "data": {"message": message, "code": code, **more}}


@dataclass
class Scripted:
    """One connection as a script sees it."""

    socket: ServerConnection
    received: list[dict[str, Any]]

    def read(self) -> dict[str, Any]:
        """The next frame, which is kept in ``received``. Raises `ConnectionClosed` at the end."""
        frame: dict[str, Any] = json.loads(self.socket.recv())
        self.received.append(frame)
        return frame

    def say(self, frame: dict[str, Any]) -> None:
        """Send a frame."""
        self.socket.send(json.dumps(frame))

    def serve(self) -> None:
        """Behave: echo each message and count, until the client says ``close`` or leaves."""
        count = 0
        while (frame := self.read())["type"] != "close":
            if frame["type"] == "state":
                self.say({"type": "state", "data": {"episode_id": None, "step_count": count}})
            else:
                count = 0 if frame["type"] == "reset" else count + 1
                self.say(observation(echoed=frame["data"].get("message", "ready"), count=count))

    def stay_silent(self) -> None:
        """Read and never answer."""
        while True:
            self.read()

    def cut(self) -> None:
        """End the TCP connection without a closing handshake."""
        self.socket.socket.close()


Script = Callable[[Scripted], None]


@dataclass
class FaultyServer:
    """Plays its scripts: the first connection gets the first one, each later connection the next, the last one for ever."""

    url: str
    scripts: list[Script] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    received: list[list[dict[str, Any]]] = field(default_factory=list)
    refuses: int | None = None
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def play(self, *scripts: Script) -> None:
        """Set the scripts."""
        self.scripts = list(scripts)

    def answer_handshake(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse the handshake with the status that ``refuses`` names."""
        return None if self.refuses is None else socket.respond(self.refuses, "no")

    def __call__(self, socket: ServerConnection) -> None:
        """Handle one connection."""
        assert socket.request is not None
        number = len(self.requests)
        self.requests.append(socket.request.path)
        self.headers.append({name.lower(): value for name, value in socket.request.headers.raw_items()})
        self.received.append([])
        with suppress(ConnectionClosed, OSError):
            self.scripts[min(number, len(self.scripts) - 1)](Scripted(socket, self.received[number]))
        self.ended.release()


@contextmanager
def run_faulty() -> Iterator[FaultyServer]:
    """A `FaultyServer` on a free port of 127.0.0.1, stopped at the end."""
    faulty = FaultyServer("")
    with serve(
        faulty,
        "127.0.0.1",
        0,
        process_request=faulty.answer_handshake,
        compression=None,
        max_size=2**20,
        close_timeout=0.5,
    ) as server:
        faulty.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield faulty
        finally:
            server.shutdown()
            thread.join()
