"""How long importing the client takes, beside importing pydantic and websockets alone."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import ROOT

__all__ = ["CLIENT", "LIBRARIES", "measure"]

CLIENT = "from openenv import EnvClient"
LIBRARIES = "import pydantic; import websockets.asyncio.client"


def measure(rounds: int) -> list[tuple[float, float]]:
    """``rounds`` pairs of seconds, interleaved: the client's import, the two libraries' alone."""
    _seconds(CLIENT)
    return [(_seconds(CLIENT), _seconds(LIBRARIES)) for _ in range(rounds)]


def _seconds(statement: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)
