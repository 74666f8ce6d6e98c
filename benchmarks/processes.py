"""Worker processes: what a step costs more than inline, and what a world that spins costs the others.

The overhead is all CPU time, of the server and its workers together, per step, against the same echo inline; interleaved. The
other sessions' p99 is measured beside a world that spins in a call of C, and beside the same loop in a process that has nothing
to do with the server. Worlds whose processes end in other ways are timed until their sessions are told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from websockets.sync.client import connect

from benchmarks.load import Measurement, Order
from benchmarks.load.process import Load
from benchmarks.servers.processes import DEATHS, LIMIT
from benchmarks.servers.start import DEFAULT, NONE, Target, ours
from tests.support.processes import Servers

__all__ = ["Burden", "Death", "Overhead", "measure", "start"]

_SESSIONS = 8
_BURN = "pow(7, 10**10)"
_LOADING_S = 2.0
"""How much longer than the load measures a world spins: for the load's start and end."""


@dataclass(frozen=True)
class Overhead:
    """One round: microseconds of CPU per step, of the server and its workers."""

    chain: str
    number: int
    inline_us: float
    process_us: float


@dataclass(frozen=True)
class Burden:
    """One round: the other sessions' p99 beside a world that spins, and beside the same loop outside the server."""

    chain: str
    number: int
    spinning_ms: float
    outside_ms: float
    told_s: float
    """How long after its limit the world that spun was told, with its typed error."""


@dataclass(frozen=True)
class Death:
    """One round: how soon a session is told that its world's process has ended."""

    chain: str
    number: int
    how: str
    """One of `benchmarks.servers.processes.DEATHS`."""
    told_s: float
    """From the step on; that of one that grows has to reach its limit first."""


def start(servers: Servers, load: Load, seconds: float) -> dict[tuple[str, str], Target]:
    """Start the servers, by name and chain; ``seconds`` is what `measure` will be told."""
    limit = {LIMIT: str(seconds + _LOADING_S)}
    started = {
        (name, chain): ours(servers, name, chain, module="processes", env=limit)
        for name in ("near", "far")
        for chain in (NONE, DEFAULT)
    }
    for target in started.values():
        _steps(load, target, 1.0)  # the worker processes are there before anything is measured
    return started


def measure(
    targets: Mapping[tuple[str, str], Target], load: Load, rounds: int, seconds: float
) -> Iterator[Overhead | Burden | Death]:
    """Yield every measurement of every round, in turns."""
    for number in range(rounds):
        for chain in (NONE, DEFAULT):
            yield _overhead(targets, load, chain, number, seconds)
            yield _burden(targets["far", chain], load, chain, number, seconds)
            for how, code in DEATHS.items():
                yield _death(targets["far", chain], chain, number, how, code)


def _overhead(targets: Mapping[tuple[str, str], Target], load: Load, chain: str, number: int, seconds: float) -> Overhead:
    costs = {}
    for name in _turned(("near", "far"), number):
        seen = _steps(load, targets[name, chain], seconds)
        costs[name] = seen.server_cpu_s / seen.done * 1e6
    return Overhead(chain, number, inline_us=costs["near"], process_us=costs["far"])


def _burden(far: Target, load: Load, chain: str, number: int, seconds: float) -> Burden:
    p99: dict[str, float] = {}
    told_s = 0.0
    for name in _turned(("spinning", "outside"), number):
        if name == "outside":
            with _burner():
                p99[name] = _steps(load, far, seconds, far.pids[:1]).p99_ms
        else:
            with _spinning(far) as told:
                p99[name] = _steps(load, far, seconds, far.pids[:1]).p99_ms
            told_s = told[0]
    return Burden(chain, number, p99["spinning"], p99["outside"], told_s)


def _death(target: Target, chain: str, number: int, how: str, code: str) -> Death:
    with connect(f"{target.server.ws_url}/ws", additional_headers=target.headers, open_timeout=30) as socket:
        socket.send('{"type":"step","data":{"message":"hello"}}')
        socket.recv(timeout=60)
        begun = time.monotonic()
        socket.send(json.dumps({"type": "step", "data": {"message": how}}))
        answer = json.loads(socket.recv(timeout=60))
        told_s = time.monotonic() - begun
    if answer["data"].get("code") != code:
        raise RuntimeError(f"a world that ends by {how} was answered {answer}")
    return Death(chain, number, how, told_s)


def _turned(two: tuple[str, str], number: int) -> tuple[str, str]:
    return two if number % 2 == 0 else (two[1], two[0])


def _steps(load: Load, target: Target, seconds: float, pids: tuple[int, ...] | None = None) -> Measurement:
    """Measure; of all its processes, or of those that are named, where some may end meanwhile."""
    return load.carry_out(Order(target.server.url, "openenv", _SESSIONS, seconds, pids or target.pids, token=target.token))


@contextmanager
def _burner() -> Iterator[None]:
    """The loop in a process of its own, for as long as the block lasts.

    In a session of its own, as worker processes are: Linux may share the processor by sessions, and else the loop would take
    its share from the load generator's.
    """
    process = subprocess.Popen([sys.executable, "-c", _BURN], start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _spinning(target: Target) -> Iterator[list[float]]:
    """A world that spins for as long as the block lasts and until its limit; then how long after that it was told."""
    told: list[float] = []
    with connect(f"{target.server.ws_url}/ws", additional_headers=target.headers, open_timeout=30) as socket:
        socket.send('{"type":"step","data":{"message":"spin"}}')
        begun = time.monotonic()
        yield told
        answer = json.loads(socket.recv(timeout=60))
        if answer["data"]["code"] != "WORKER_TIMEOUT":
            raise RuntimeError(f"the world that spins was answered {answer}")
        told.append(time.monotonic() - begun - answer["data"]["limit_s"])
