"""``openenv serve --workers 2`` beside one process: CPU per step of all its processes, and whether every worker is kept busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gates import Gate, at_least, at_most
from benchmarks.load import Measurement, Order
from benchmarks.load.process import Load
from benchmarks.load.processor import usage
from benchmarks.part import Run
from benchmarks.spread import ratios
from benchmarks.tables import Table, shown
from tests.support.processes import ROOT, Server

__all__ = ["RECORDS", "Crew", "gates", "measure", "tables"]

WORKERS = (1, 2)
_ROWS = {"openenv": ("echo", 256), "v2": ("echo", 256), "http": ("echo", 64), "mcp": ("tools", 64)}
"""Dialects, with the environment and the number of sessions that each is measured with."""
_SAMPLE_S = 0.05
_SHARE = 0.6
"""Of the load's time: the window in which the workers are looked at, without its beginning and its end."""


@dataclass(frozen=True)
class Crew:
    """One measurement of a server of some workers."""

    dialect: str
    workers: int
    number: int
    """Of the round."""
    per_s: float
    """Steps."""
    cpu_us: float
    """CPU time of all its processes for each step, in microseconds."""
    busy: float
    """Of the worker for which it is the least: how much of the window it ran, or was ready to and had no core."""
    load_cpu: float
    """The load generator's CPU time as a share of one core."""


RECORDS = (Crew,)


def measure(run: Run) -> Iterator[Crew]:
    """Yield every round: each dialect on one process and on several, in turns."""
    run.progress("workers: starting the servers")
    with run.servers() as servers:
        started = {
            (environment, count): servers(f"benchmarks.servers.ours:bare_{environment}", "--workers", f"{count}", cwd=ROOT)
            for environment in dict.fromkeys(environment for environment, _ in _ROWS.values())
            for count in WORKERS
        }
        for number in range(run.rounds):
            for dialect, (environment, _) in _ROWS.items():
                run.progress(f"workers: round {number + 1} of {run.rounds}, {dialect}")
                for count in WORKERS if number % 2 == 0 else reversed(WORKERS):
                    yield _crew(run.load, started[environment, count], dialect, count, number, run.seconds)


def _crew(load: Load, server: Server, dialect: str, count: int, number: int, seconds: float) -> Crew:
    children = [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
    workers = children if count > 1 else [server.pid]
    watch = _Watch(workers, _SHARE * seconds)
    seen = watch.during(load, Order(server.url, dialect, _ROWS[dialect][1], seconds, (server.pid, *children)))
    return Crew(
        dialect=dialect,
        workers=count,
        number=number,
        per_s=round(seen.done / seen.seconds, 1),
        cpu_us=round(seen.server_cpu_s / seen.done * 1e6, 2),
        busy=round(watch.least_busy, 3),
        load_cpu=round(seen.load_cpu_s / seen.seconds, 3),
    )


class _Watch:
    """Looks at processes while they are under load.

    Args:
        pids: The processes.
        window_s: How much of the time counts: the part in which they do the most.
    """

    def __init__(self, pids: Sequence[int], window_s: float) -> None:
        self._pids = pids
        self._window_s = window_s
        self.least_busy = 0.0

    def during(self, load: Load, order: Order) -> Measurement:
        """Have the load measured. Raises `benchmarks.load.process.LoadFailed`."""
        over = threading.Event()
        samples: list[tuple[float, list[float]]] = []

        def look() -> None:
            while not over.wait(_SAMPLE_S):
                used = [usage([pid]) for pid in self._pids]
                samples.append((time.perf_counter(), [one.ran_s + one.waited_s for one in used]))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            return load.carry_out(order)
        finally:
            over.set()
            looking.join()
            self.least_busy = self._least_busy(samples)

    def _least_busy(self, samples: Sequence[tuple[float, list[float]]]) -> float:
        best = [0.0]
        end = 0
        for start, (began, before) in enumerate(samples):
            while end < len(samples) and samples[end][0] - began < self._window_s:
                end += 1
            if end == len(samples):
                break
            ended, after = samples[end]
            busy = [(later - earlier) / (ended - began) for earlier, later in zip(before, after, strict=True)]
            if sum(busy) > sum(best) or start == 0:
                best = busy
        return min(best)


def tables(records: Sequence[Crew]) -> list[Table]:
    """One."""
    rows = []
    for dialect, (_, sessions) in _ROWS.items():
        for count in WORKERS:
            seen = _of(records, dialect, count)
            if seen:
                figures = [[getattr(one, name) for one in seen] for name in ("per_s", "cpu_us", "busy", "load_cpu")]
                rows.append([dialect, f"{sessions}", f"{count}", *map(shown, figures)])
    columns = ["dialect", "sessions", "workers", "steps/s", "server CPU µs", "busy, the least of its workers", "load CPU"]
    notes = ["Busy: the share of the time in which a worker ran, or was ready to run and had no core."]
    return [Table("Workers, without middleware", columns, rows, notes)]


def gates(records: Sequence[Crew]) -> list[Gate]:
    """Two workers spend on a step what one does, and both have work."""
    found = []
    for dialect in _ROWS:
        one, two = ({crew.number: crew.cpu_us for crew in _of(records, dialect, count)} for count in WORKERS)
        found.append(at_most(f"server CPU per step of two workers ÷ one, {dialect}", 1.15, ratios(two, one)))
    busy = [crew.busy for crew in _of(records, "openenv", 2)]
    found.append(at_least("run and run-queue time of each of two workers under load, share of the wall", 0.9, busy))
    return found


def _of(records: Sequence[Crew], dialect: str, count: int) -> list[Crew]:
    return [one for one in records if (one.dialect, one.workers) == (dialect, count)]
