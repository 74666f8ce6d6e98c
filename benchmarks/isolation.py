"""The part about environments in worker processes: what `benchmarks.processes` measures, as tables and claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import processes
from benchmarks.gates import Gate, at_most
from benchmarks.part import Run
from benchmarks.processes import Burden, Overhead
from benchmarks.spread import median
from benchmarks.tables import Table, figure

__all__ = ["RECORDS", "gates", "measure", "tables"]

RECORDS = (Overhead, Burden)
_SHARE = 0.6


def measure(run: Run) -> Iterator[Overhead | Burden]:
    """Yield every measurement."""
    seconds = run.seconds * (1.0 if run.full else _SHARE)
    with run.servers() as servers:
        run.progress("processes: starting the servers")
        started = processes.start(servers, run.load, seconds)
        for entry in processes.measure(started, run.load, run.rounds, seconds):
            run.progress(f"processes: round {entry.number + 1} of {run.rounds}")
            yield entry


def tables(records: Sequence[Overhead | Burden]) -> list[Table]:
    """What a step costs, and what a world that spins costs the others."""
    costs = [one for one in records if isinstance(one, Overhead)]
    burdens = [one for one in records if isinstance(one, Burden)]
    rows = []
    if costs:
        rows.append(["CPU µs of a step, inline", figure(median(one.inline_us for one in costs))])
        rows.append(["CPU µs of a step, in a worker process, all processes", figure(median(one.process_us for one in costs))])
    if burdens:
        rows.append(["p99 ms of the others while one world spins in C", figure(median(one.spinning_ms for one in burdens))])
        rows.append(["p99 ms with the same loop outside the server", figure(median(one.outside_ms for one in burdens))])
        rows.append(["seconds after its limit until the world that spins is told", figure(median(one.told_s for one in burdens))])
    return [Table("Worker processes, 8 sessions of echo", ["", "median"], rows)]


def gates(records: Sequence[Overhead | Burden]) -> list[Gate]:
    """Overhead, isolation, and how soon a world that spins is ended."""
    costs = [one for one in records if isinstance(one, Overhead)]
    burdens = [one for one in records if isinstance(one, Burden)]
    more = [(one.process_us - one.inline_us) / 1000 for one in costs]
    ratios = [one.spinning_ms / one.outside_ms for one in burdens]
    return [
        at_most("CPU of a step in a worker process beyond inline", 0.3, more, unit=" ms"),
        at_most("p99 of the others, a world spins ÷ the same loop outside the server", 2, ratios),
        at_most("typed error after the limit of a world that spins", 1, [one.told_s for one in burdens], unit=" s"),
    ]
