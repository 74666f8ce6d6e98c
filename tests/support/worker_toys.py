"""What servers of several workers are tried with."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openenv import Context, create_app
from tests.support.processes import Server
from tests.support.toys import FileTalker, Heard, InlineTalker, Notes, Say, Talker
from tests.support.usage import children

__all__ = ["HEADER", "Line", "Lines", "home", "until", "worker_pids"]

HEADER = "x-openenv-worker"


class Single(InlineTalker):
    """One session at a time in the whole server."""

    max_sessions = 1


class SlowToClose(Talker):
    """One session at a time, whose place is free only a moment after it has ended. It makes a file when it begins to close."""

    max_sessions = 1

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.mark = context.query.get("closing")

    def close(self) -> None:
        if self.mark is not None:
            Path(self.mark).touch()
        time.sleep(0.3)


class Mortal(InlineTalker):
    """Takes its whole process down when it is told to."""

    def step(self, action: Say) -> Heard:
        if action.text == "die":
            os.abort()
        if action.text == "spin":
            time.sleep(action.seconds)
        if action.text == "babble":  # to every process that this one is linked to
            for file in range(3, 64):
                with contextlib.suppress(OSError):
                    if stat.S_ISSOCK(os.fstat(file).st_mode):
                        os.write(file, b"nonsense")
            time.sleep(60.0)
        return super().step(action)


class BrokenName(Talker):
    """Its author was careless."""

    context_headers = ("x-name",)

    @classmethod
    def world_name(cls, context: Any) -> str | None:
        return None if "x-name" not in context.headers else context.headers["x-name"][10**6]


def notes_app() -> Any:
    return create_app(Notes, env_name="notes")


talker_app = create_app(Talker, Say, Heard, env_name="talker", max_sessions=6)
quick_app = create_app(InlineTalker, Say, Heard, env_name="quick")
single_app = create_app(Single, Say, Heard, env_name="single")
slow_to_close_app = create_app(SlowToClose, Say, Heard, env_name="slow")
mortal_app = create_app(Mortal, Say, Heard, env_name="mortal")
file_app = create_app(FileTalker, Say, Heard, env_name="file")
named_app = notes_app()
broken_name_app = create_app(BrokenName, Say, Heard, env_name="broken")


class Line(http.client.HTTPConnection):
    """One TCP connection to a server, as raw as it gets."""

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any, str]:
        """The answer's status, its body (JSON where it is), and which worker gave it."""
        raw = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        self.request(method, path, raw, {"Content-Type": "application/json", **(headers or {})})
        response = self.getresponse()
        text = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json and text else text, response.headers[HEADER]


class Lines:
    """Opens connections, and closes all of them in the end."""

    def __init__(self) -> None:
        self._open: list[Line] = []

    def __call__(self, server: Server, worker: int) -> Line:
        """A new connection that this worker has taken."""
        for _ in range(200):
            line = Line("127.0.0.1", server.port, timeout=15)
            self._open.append(line)
            if line.ask("GET", "/health")[2] == str(worker):
                return line
            line.close()
        raise AssertionError(f"worker {worker} takes no connection")

    def socket(self, server: Server, worker: int) -> socket.socket:
        """The socket of such a connection, for another protocol to go on with."""
        taken: socket.socket = self(server, worker).sock
        return taken

    def close(self) -> None:
        """Close them."""
        for line in self._open:
            line.close()


def home(session_id: str) -> int:
    """Which worker has a session."""
    return int(session_id[-2:], 16)


def worker_pids(server: Server) -> list[int]:
    """The processes of a server but for the first."""
    return children(server.pid)


def until(condition: Any, patience_s: float = 30.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)
