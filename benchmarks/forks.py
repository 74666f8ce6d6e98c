"""What a fork of a Calendar session costs the server, by protocol v2."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.calendar import access_headers, in_turns
from benchmarks.gates import Gate, at_most
from benchmarks.load.processor import run_time_ns
from benchmarks.part import Run
from benchmarks.servers.start import DEFAULT, NONE, Target
from benchmarks.spread import median
from benchmarks.tables import Table, shown

__all__ = ["RECORDS", "Fork", "gates", "measure", "tables"]

_COUNTS = {1: 20, 16: 3}
"""How many sessions a fork makes, and how often that is measured in a round."""


@dataclass(frozen=True)
class Fork:
    """The medians of one round's requests that forked a session."""

    chain: str
    count: int
    """How many sessions it made."""
    number: int
    """Of the round."""
    latency_ms: float
    """Of the whole request."""
    cpu_ms: float
    """Server CPU time for each new session."""


RECORDS = (Fork,)


class _Asking:
    """Requests of protocol v2 one by one."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._id = 0
        if json.loads(socket.recv(timeout=30))["event"] != "hello":
            raise RuntimeError("the server did not say hello")

    def __call__(self, op: str, session: str | None = None, **data: Any) -> dict[str, Any]:
        self._id += 1
        asked: dict[str, Any] = {"id": self._id, "op": op, "data": data}
        if session is not None:
            asked["session"] = session
        if not data:
            del asked["data"]
        self._socket.send(json.dumps(asked))
        answer = json.loads(self._socket.recv(timeout=30))
        if "ok" not in answer:
            raise RuntimeError(f"{op} was refused: {answer}")
        ok: dict[str, Any] = answer["ok"]
        return ok


def measure(run: Run) -> Iterator[Fork]:
    """Yield every round: forks of a session in which something has happened; the children are closed before the next one."""
    yield from in_turns(run, "forks", _round)


def _round(target: Target, chain: str, number: int) -> Iterator[Fork]:
    server, headers = target.server, access_headers(target)
    with connect(
        f"{server.ws_url}/ws", additional_headers=headers, subprotocols=[Subprotocol("openenv.v2")], compression=None
    ) as socket:
        ask = _Asking(socket)
        (parent,) = ask("open")["sessions"]
        ask("reset", parent)
        day = {"start": {"dateTime": "2026-01-06T10:00:00Z"}, "end": {"dateTime": "2026-01-06T11:00:00Z"}}
        for place in range(10):
            event = {"calendarId": "primary", "summary": f"Benchmark {place}", **day}
            ask("call_tool", parent, name="events_insert", arguments=event)
        for count, repeats in _COUNTS.items():
            latencies, costs = [], []
            for _ in range(repeats):
                cpu, began = run_time_ns(server.pid), time.perf_counter_ns()
                children = ask("fork", parent, count=count)["sessions"]
                latency, spent = time.perf_counter_ns() - began, run_time_ns(server.pid) - cpu
                for child in children:
                    ask("close", child)
                latencies.append(latency / 1e6)
                costs.append(spent / 1e6 / count)
            yield Fork(chain, count, number, round(median(latencies), 3), round(median(costs), 4))
        ask("close", parent)


def tables(records: Sequence[Fork]) -> list[Table]:
    """One."""
    rows = []
    for chain, count in dict.fromkeys((one.chain, one.count) for one in records):
        seen = [one for one in records if (one.chain, one.count) == (chain, count)]
        rows.append([f"{count}", chain, shown([one.cpu_ms for one in seen]), shown([one.latency_ms for one in seen])])
    columns = ["sessions made", "chain", "server CPU ms each", "p50 ms of the request"]
    return [Table("Fork of a Calendar session (v2)", columns, rows)]


def gates(records: Sequence[Fork]) -> list[Gate]:
    """A fork costs less than 2 ms of CPU."""
    return [
        at_most(
            f"server CPU of a fork of a Calendar session, chain: {chain}",
            2,
            [one.cpu_ms for one in records if (one.chain, one.count) == (chain, 1)],
            unit=" ms",
        )
        for chain in (NONE, DEFAULT)
    ]
