"""Servers as real processes: started on a free port of 127.0.0.1, waited for, stopped by their process id."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from urllib.error import URLError
from urllib.request import urlopen

__all__ = ["ROOT", "Server", "Servers", "answers", "free_port", "running"]

ROOT = Path(__file__).resolve().parents[2]
"""The repository's folder."""

_READY_S = 30.0
_PATIENCE_S = 30.0
_GRACE_S = 10.0
_CHANCE = SystemRandom()
"""Which no test has seeded."""
_LISTENING = re.compile(r"(?:serving \S+ on|Uvicorn running on) (http://127\.0\.0\.1:\d+)")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on, and that the system gives to nobody who asks for any."""
    while True:
        port = _CHANCE.randrange(15_000, 32_000)  # below those that Linux and macOS give away
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass
class Server:
    """A running server process."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def ws_url(self) -> str:
        """The base URL with the scheme ``ws``."""
        return self.url.replace("http://", "ws://", 1)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def log(self) -> str:
        """What it has written to stdout and stderr so far."""
        return self.log_path.read_text(errors="replace")

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait(self, timeout_s: float = _PATIENCE_S) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """SIGTERM, then SIGKILL when that did not end it in time; ends its children too. Returns the exit code."""
        self.terminate()
        try:
            self.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.returncode


@dataclass
class Servers:
    """Starts servers and, at the end, stops all of them."""

    folder: Path
    started: list[Server] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __call__(
        self,
        target: str,
        *options: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        uvicorn: bool = False,
        port: int = 0,
    ) -> Server:
        """Start ``openenv serve TARGET OPTIONS…``, or with ``uvicorn=True`` ``python -m uvicorn TARGET OPTIONS…``.

        The server listens on a port that the system chose unless ``port`` is given, has its own process group, and may
        import modules from ``cwd``. Returns once ``/health`` answers; raises `RuntimeError` with the log when it does not.
        """
        program = ["uvicorn", target] if uvicorn else ["openenv.cli", "serve", target]
        command = [sys.executable, "-m", *program, "--host", "127.0.0.1", "--port", str(port), *options]
        environment = {**os.environ, **(env or {})}
        if cwd is not None:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(cwd), environment.get("PYTHONPATH", "")]))
        return self.start(command, env=environment, cwd=cwd)

    def start(self, command: list[str], *, env: Mapping[str, str], cwd: Path | None = None) -> Server:
        """Start any command that tells the address it listens on as ``openenv serve`` and uvicorn do."""
        log_path = self.folder / f"server-{next(self._numbers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**env, "PYTHONUNBUFFERED": "1"},
                cwd=cwd,
                start_new_session=True,
            )
        server = Server(url="", process=process, log_path=log_path)
        self.started.append(server)
        _wait_until_ready(server, command)
        return server

    def stop(self) -> None:
        """Stop every server that still runs: all are told first, then waited for."""
        for server in self.started:
            server.terminate()
        for server in self.started:
            server.stop()
        self.started.clear()


@contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """`Servers` that keep their logs in ``folder`` and are stopped at the end, whatever happens."""
    servers = Servers(folder)
    try:
        yield servers
    finally:
        servers.stop()


def _wait_until_ready(server: Server, command: list[str]) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"{' '.join(command)} ended with {server.process.returncode}:\n{server.log()}")
        if not server.url and (found := _LISTENING.search(server.log())):
            server.url = found[1]
        if server.url and answers(server.url):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{' '.join(command)} was not ready after {_READY_S:.0f} s:\n{server.log()}")


def answers(url: str) -> bool:
    """Whether ``/health`` of the server at ``url`` answers 200."""
    try:
        with urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
