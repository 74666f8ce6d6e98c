"""The Calendar, one session without load: latency and server CPU time of a reset and of typical tool calls."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.processes import ROOT, Server

__all__ = ["CALLS", "Cost", "measure"]

CALLS: dict[str, dict[str, Any]] = {
    "calendar_list_list": {},
    "events_list": {"calendarId": "primary"},
    "freebusy_query": {
        "timeMin": "2026-01-05T00:00:00Z",
        "timeMax": "2026-01-12T00:00:00Z",
        "items": [{"id": "primary"}],
    },
    "events_insert": {
        "calendarId": "primary",
        "summary": "Benchmark",
        "start": {"dateTime": "2026-01-06T10:00:00Z"},
        "end": {"dateTime": "2026-01-06T11:00:00Z"},
    },
}


@dataclass(frozen=True)
class Cost:
    """What one operation cost: seen by the client, and of the server's CPU."""

    operation: str
    latency_ms: float
    cpu_ms: float


def measure(server: Server, rounds: int, repeats: int = 20) -> Iterator[Cost]:
    """Yield one `Cost` per operation: ``rounds`` times ``repeats`` of each, in turn, over one socket."""
    with connect(f"{server.ws_url}/ws", additional_headers={"x-access-token": _token()}, compression=None) as socket:
        _ask(socket, {"type": "reset"})
        for _ in range(rounds):
            for _ in range(repeats):
                yield _timed("reset", socket, {"type": "reset"}, server.pid)
            for tool, arguments in CALLS.items():
                frame = _call(tool, arguments)
                for _ in range(repeats):
                    yield _timed(tool, socket, frame, server.pid)


def _token() -> str:
    command = [sys.executable, "-m", "openenv.cli", "envs", "calendar", "--tokens"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()[0].split()[-1]


def _call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return {"type": "mcp", "data": request}


def _timed(operation: str, socket: ClientConnection, frame: dict[str, Any], pid: int) -> Cost:
    cpu, started = _run_time_ns(pid), time.perf_counter_ns()
    _ask(socket, frame)
    latency = time.perf_counter_ns() - started
    return Cost(operation, latency / 1e6, (_run_time_ns(pid) - cpu) / 1e6)


def _ask(socket: ClientConnection, frame: dict[str, Any]) -> None:
    socket.send(json.dumps(frame))
    answer = json.loads(socket.recv(timeout=30))
    if answer["type"] == "error" or "error" in answer["data"]:
        raise RuntimeError(f"the Calendar refused {frame}: {answer}")


def _run_time_ns(pid: int) -> int:
    """The time that the threads of a process have run, in nanoseconds: finer than the clock ticks of /proc/PID/stat."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
