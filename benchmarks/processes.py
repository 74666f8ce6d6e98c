"""Worker processes: what a step costs more than inline, and what a world that spins costs the others.

The overhead is all CPU time, of the server and its workers together, per step, against the same echo inline; interleaved. The
other sessions' p99 is measured beside a world that spins in a call of C, and beside the same loop in a process that has nothing
to do with the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from websockets.sync.client import connect

from benchmarks.load import Measurement, Order
from benchmarks.load.process import Load
from benchmarks.servers.processes import LIMIT
from tests.support.processes import ROOT, Server, Servers

__all__ = ["Burden", "Overhead", "measure", "start"]

_SESSIONS = 8
_BURN = "pow(7, 10**10)"
_LOADING_S = 4.0
"""How much longer than the load measures a world spins: for the load's start and end."""


@dataclass(frozen=True)
class Overhead:
    """One round: microseconds of CPU per step, of the server and its workers."""

    number: int
    inline_us: float
    process_us: float


@dataclass(frozen=True)
class Burden:
    """One round: the other sessions' p99 beside a world that spins, and beside the same loop outside the server."""

    number: int
    spinning_ms: float
    outside_ms: float
    told_s: float
    """How long after its limit the world that spun was told, with its typed error."""


def start(servers: Servers, load: Load, seconds: float) -> dict[str, Server]:
    """Start both servers; ``seconds`` is what `measure` will be told."""
    limit = {LIMIT: str(seconds + _LOADING_S)}
    started = {name: servers(f"benchmarks.servers.processes:{name}", cwd=ROOT, env=limit) for name in ("near", "far")}
    for server in started.values():
        _steps(load, server, 1.0)  # the worker processes are there before anything is measured
    return started


def measure(servers: dict[str, Server], load: Load, rounds: int, seconds: float) -> Iterator[Overhead | Burden]:
    """Yield every measurement of every round, in turns."""
    far = servers["far"]
    for number in range(rounds):
        turns = [("near", "inline_us"), ("far", "process_us")]
        costs = {}
        for name, figure in turns if number % 2 == 0 else reversed(turns):
            seen = _steps(load, servers[name], seconds)
            costs[figure] = seen.server_cpu_s / seen.done * 1e6
        yield Overhead(number, **costs)
        p99: dict[str, float] = {}
        told_s = 0.0
        for name in ("spinning", "outside") if number % 2 == 0 else ("outside", "spinning"):
            if name == "outside":
                with _burner():
                    p99[name] = _steps(load, far, seconds, workers=False).p99_ms
            else:
                with _spinning(far) as told:
                    p99[name] = _steps(load, far, seconds, workers=False).p99_ms
                told_s = told[0]
        yield Burden(number, p99["spinning"], p99["outside"], told_s)


def _steps(load: Load, server: Server, seconds: float, *, workers: bool = True) -> Measurement:
    pids = (server.pid, *(_children(server.pid) if workers else ()))
    return load.carry_out(Order(server.url, "openenv", _SESSIONS, seconds, pids))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def _burner() -> Iterator[None]:
    """The loop in a process of its own, for as long as the block lasts."""
    process = subprocess.Popen([sys.executable, "-c", _BURN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _spinning(server: Server) -> Iterator[list[float]]:
    """A world that spins for as long as the block lasts and until its limit; then how long after that it was told."""
    told: list[float] = []
    with connect(f"{server.ws_url}/ws", open_timeout=30) as socket:
        socket.send('{"type":"step","data":{"message":"spin"}}')
        begun = time.monotonic()
        yield told
        answer = json.loads(socket.recv(timeout=60))
        if answer["data"]["code"] != "WORKER_TIMEOUT":
            raise RuntimeError(f"the world that spins was answered {answer}")
        told.append(time.monotonic() - begun - answer["data"]["limit_s"])
