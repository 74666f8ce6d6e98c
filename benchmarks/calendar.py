"""The Calendar, one session without load: latency and server CPU time of a reset and of typical tool calls."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from websockets.sync.client import ClientConnection, connect

from benchmarks.gates import Gate
from benchmarks.load.processor import run_time_ns
from benchmarks.part import Run
from benchmarks.servers.fleet import wanted
from benchmarks.servers.start import DEFAULT, NONE, Target
from benchmarks.spread import median
from benchmarks.tables import Table, figure, shown
from tests.support.processes import ROOT

__all__ = ["CALLS", "RECORDS", "Cost", "access_headers", "gates", "in_turns", "measure", "tables"]

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
    """What an operation cost in one round: seen by the client, and of the server's CPU."""

    operation: str
    chain: str
    number: int
    """Of the round."""
    p50_ms: float
    worst_ms: float
    cpu_ms: float
    """The median."""


RECORDS = (Cost,)
_REPEATS = 20
T = TypeVar("T")


def measure(run: Run) -> Iterator[Cost]:
    """Yield every cost: in each round both servers, and `_REPEATS` of each operation, in turn, over one socket."""
    yield from in_turns(run, "calendar", _round)


def in_turns(run: Run, part: str, one_round: Callable[[Target, str, int], Iterator[T]]) -> Iterator[T]:
    """In each round both Calendars, one with the default chain."""
    run.progress(f"{part}: starting the servers")
    targets = run.fleet(wanted("calendar none", "calendar default"))
    for number in range(run.rounds):
        for chain in (NONE, DEFAULT):
            run.progress(f"{part}: round {number + 1} of {run.rounds}, chain {chain}")
            yield from one_round(targets[f"calendar {chain}"], chain, number)


def _round(target: Target, chain: str, number: int) -> Iterator[Cost]:
    server = target.server
    with connect(f"{server.ws_url}/ws", additional_headers=access_headers(target), compression=None) as socket:
        _ask(socket, {"type": "reset"})
        asked = {"reset": {"type": "reset"}, **{tool: _call(tool, arguments) for tool, arguments in CALLS.items()}}
        for operation, frame in asked.items():
            seen = [_timed(socket, frame, server.pid) for _ in range(_REPEATS)]
            latencies, cpu = [latency for latency, _ in seen], [spent for _, spent in seen]
            yield Cost(operation, chain, number, round(median(latencies), 4), round(max(latencies), 4), round(median(cpu), 4))


def tables(records: Sequence[Cost]) -> list[Table]:
    """One, with a row for each operation."""
    rows = []
    for operation, chain in dict.fromkeys((cost.operation, cost.chain) for cost in records):
        costs = [cost for cost in records if (cost.operation, cost.chain) == (operation, chain)]
        times, cpu = [cost.p50_ms for cost in costs], [cost.cpu_ms for cost in costs]
        rows.append([operation, chain, shown(times), figure(max(cost.worst_ms for cost in costs)), shown(cpu)])
    return [Table("Calendar, one session without load", ["", "chain", "p50 ms", "worst ms", "server CPU ms each"], rows)]


def gates(records: Sequence[Cost]) -> list[Gate]:
    """Nothing is claimed."""
    return []


def access_headers(target: Target) -> dict[str, str]:
    """Who acts in the Calendar, and the token that the default chain wants."""
    return {"x-access-token": _token(), **target.headers}


@functools.cache
def _token() -> str:
    command = [sys.executable, "-m", "openenv.cli", "envs", "calendar", "--tokens"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()[0].split()[-1]


def _call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return {"type": "mcp", "data": request}


def _timed(socket: ClientConnection, frame: dict[str, Any], pid: int) -> tuple[float, float]:
    """Milliseconds that one operation took, and that the server's threads ran."""
    cpu, started = run_time_ns(pid), time.perf_counter_ns()
    _ask(socket, frame)
    latency = time.perf_counter_ns() - started
    return latency / 1e6, (run_time_ns(pid) - cpu) / 1e6


def _ask(socket: ClientConnection, frame: dict[str, Any]) -> None:
    socket.send(json.dumps(frame))
    answer = json.loads(socket.recv(timeout=30))
    if answer["type"] == "error" or "error" in answer["data"]:
        raise RuntimeError(f"the Calendar refused {frame}: {answer}")
