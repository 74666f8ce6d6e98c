"""A server of the evaluation's own: started as a process, stopped by its process id."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from openenv.errors import ConnectionFailed

__all__ = ["own_server"]

_LISTENING = re.compile(r"serving .+ on (http://127\.0\.0\.1:\d+)")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


@asynccontextmanager
async def own_server(environment: str, log_path: Path) -> AsyncIterator[str]:
    """Run ``openenv serve ENVIRONMENT`` on a free port and give its address; its output goes to ``log_path``.

    The process has a session of its own, so that Ctrl-C reaches it only when the evaluation is done with it.
    Raises `ConnectionFailed`, with the end of the log, when it does not start.
    """
    command = [sys.executable, "-m", "openenv.cli", "serve", environment, "--host", "127.0.0.1", "--port", "0"]
    process = _start(command, log_path)
    try:
        yield await _address(process, log_path, environment)
    finally:
        await asyncio.shield(asyncio.to_thread(_stop, process))


def _start(command: list[str], log_path: Path) -> subprocess.Popen[bytes]:
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


async def _address(process: subprocess.Popen[bytes], log_path: Path, environment: str) -> str:
    waited = 0.0
    while waited < START_TIMEOUT_S:
        said = _read(log_path)
        found = _LISTENING.search(said)
        if found:
            return found.group(1)
        if process.poll() is not None:
            raise ConnectionFailed(
                f"openenv serve {environment} ended with exit code {process.returncode}: {_tail(said)}",
                hint=f"Try it by itself: openenv serve {environment}. The whole log is {log_path}.",
            )
        await asyncio.sleep(0.05)
        waited += 0.05
    raise ConnectionFailed(
        f"openenv serve {environment} did not listen within {START_TIMEOUT_S:.0f} s: {_tail(_read(log_path))}",
        hint=f"The whole log is {log_path}.",
    )


def _read(log_path: Path) -> str:
    return log_path.read_text(encoding="utf-8", errors="replace")


def _tail(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-5:]) or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
