"""``openenv serve --workers 2`` beside one process: CPU per step of all its processes, and whether every worker is kept busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.gates import Gate, at_least, at_most
from benchmarks.load import Measurement, Order
from benchmarks.load.process import Load
from benchmarks.load.processor import usage
from benchmarks.part import Run
from benchmarks.servers.fleet import started, wanted
from benchmarks.servers.start import DEFAULT, NONE, Target
from benchmarks.spread import ratios
from benchmarks.tables import Table, shown

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
    chain: str
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
        environments = dict.fromkeys(environment for environment, _ in _ROWS.values())
        names = [_server(*one) for one in product(environments, (NONE, DEFAULT), WORKERS)]
        targets = started(servers, wanted(*names))
        for number in range(run.rounds):
            for (dialect, (environment, _)), chain in product(_ROWS.items(), (NONE, DEFAULT)):
                run.progress(f"workers: round {number + 1} of {run.rounds}, {dialect}, chain {chain}")
                for count in WORKERS if number % 2 == 0 else reversed(WORKERS):
                    seen, busy = _watched(run.load, targets[_server(environment, chain, count)], dialect, count, run.seconds)
                    yield _crew(seen, dialect, chain, count, number, busy)


def _server(environment: str, chain: str, count: int) -> str:
    return f"ours {environment} {chain} --workers {count}"


def _watched(load: Load, target: Target, dialect: str, count: int, seconds: float) -> tuple[Measurement, float]:
    first, *children = target.pids
    watch = _Watch(children if count > 1 else [first], _SHARE * seconds)
    order = Order(target.server.url, dialect, _ROWS[dialect][1], seconds, target.pids, token=target.token)
    return watch.during(load, order), watch.least_busy


def _crew(seen: Measurement, dialect: str, chain: str, count: int, number: int, busy: float) -> Crew:
    return Crew(
        dialect=dialect,
        chain=chain,
        workers=count,
        number=number,
        per_s=round(seen.done / seen.seconds, 1),
        cpu_us=round(seen.server_cpu_s / seen.done * 1e6, 2),
        busy=round(busy, 3),
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
    for (dialect, (_, sessions)), chain, count in product(_ROWS.items(), (NONE, DEFAULT), WORKERS):
        seen = _of(records, dialect, chain, count)
        if seen:
            figures = [[getattr(one, name) for one in seen] for name in ("per_s", "cpu_us", "busy", "load_cpu")]
            rows.append([dialect, chain, f"{sessions}", f"{count}", *map(shown, figures)])
    figures_of = ["steps/s", "server CPU µs", "busy, the least of its workers", "load CPU"]
    columns = ["dialect", "chain", "sessions", "workers", *figures_of]
    notes = ["Busy: the share of the time in which a worker ran, or was ready to run and had no core."]
    return [Table("Workers", columns, rows, notes)]


def gates(records: Sequence[Crew]) -> list[Gate]:
    """Two workers spend on a step what one does, and both have work."""
    found = []
    for dialect, chain in product(_ROWS, (NONE, DEFAULT)):
        one, two = ({crew.number: crew.cpu_us for crew in _of(records, dialect, chain, count)} for count in WORKERS)
        claim = f"server CPU per step of two workers ÷ one, {dialect}, chain: {chain}"
        found.append(at_most(claim, 1.15, ratios(two, one)))
    for chain in (NONE, DEFAULT):
        claim = f"run and run-queue time of each of two workers under load, share of the wall, chain: {chain}"
        found.append(at_least(claim, 0.9, [crew.busy for crew in _of(records, "openenv", chain, 2)]))
    return found


def _of(records: Sequence[Crew], dialect: str, chain: str, count: int) -> list[Crew]:
    return [one for one in records if (one.dialect, one.chain, one.workers) == (dialect, chain, count)]
