"""The part about environments in worker processes: what `benchmarks.processes` measures, as tables and claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import processes
from benchmarks.gates import Gate, at_most
from benchmarks.part import Run
from benchmarks.processes import Burden, Death, Overhead
from benchmarks.servers.processes import DEATHS
from benchmarks.servers.start import DEFAULT, NONE
from benchmarks.spread import median
from benchmarks.tables import Table, figure

__all__ = ["RECORDS", "gates", "measure", "tables"]

RECORDS = (Overhead, Burden, Death)
Record = Overhead | Burden | Death
_SHARE = 0.6
_SAID = {"segfault": "a segmentation fault", "exit": "os._exit", "grow": "growing to its limit of memory, growth included"}


def measure(run: Run) -> Iterator[Record]:
    """Yield every measurement."""
    seconds = run.seconds * (1.0 if run.full else _SHARE)
    with run.servers() as servers:
        run.progress("processes: starting the servers")
        started = processes.start(servers, run.load, seconds)
        for entry in processes.measure(started, run.load, run.rounds, seconds):
            run.progress(f"processes: round {entry.number + 1} of {run.rounds}")
            yield entry


def tables(records: Sequence[Record]) -> list[Table]:
    """What a step costs, and what a world that spins costs the others."""
    rows = []
    for chain in (NONE, DEFAULT):
        costs, burdens = _of(records, chain)
        if costs:
            rows.append(["CPU µs of a step, inline", chain, figure(median(one.inline_us for one in costs))])
            in_worker = figure(median(one.process_us for one in costs))
            rows.append(["CPU µs of a step, in a worker process, all processes", chain, in_worker])
        if burdens:
            spinning, outside = (median(getattr(one, name) for one in burdens) for name in ("spinning_ms", "outside_ms"))
            rows.append(["p99 ms of the others while one world spins in C", chain, figure(spinning)])
            rows.append(["p99 ms with the same loop outside the server", chain, figure(outside)])
            told = figure(median(one.told_s for one in burdens))
            rows.append(["seconds after its limit until the world that spins is told", chain, told])
        deaths = {how: _deaths(records, chain, how) for how in DEATHS}
        rows += [
            [f"seconds until a world is told whose process ends by {_SAID[how]}", chain, figure(median(told_s))]
            for how, told_s in deaths.items()
            if told_s
        ]
    return [Table("Worker processes, 8 sessions of echo", ["", "chain", "median"], rows)]


def gates(records: Sequence[Record]) -> list[Gate]:
    """Overhead, isolation, and how soon a world that spins is ended."""
    found = []
    for chain in (NONE, DEFAULT):
        costs, burdens = _of(records, chain)
        more = [(one.process_us - one.inline_us) / 1000 for one in costs]
        ratios = [one.spinning_ms / one.outside_ms for one in burdens]
        told = [one.told_s for one in burdens]
        beside = "p99 of the others, a world spins ÷ the same loop outside the server"
        found.append(at_most(f"CPU of a step in a worker process beyond inline, chain: {chain}", 0.3, more, unit=" ms"))
        found.append(at_most(f"{beside}, chain: {chain}", 2, ratios))
        found.append(at_most(f"typed error after the limit of a world that spins, chain: {chain}", 1, told, unit=" s"))
        for how in DEATHS:
            claim = f"typed error of a world whose process ends by {_SAID[how]}, chain: {chain}"
            found.append(at_most(claim, 1, _deaths(records, chain, how), unit=" s"))
    return found


def _of(records: Sequence[Record], chain: str) -> tuple[list[Overhead], list[Burden]]:
    costs = [one for one in records if isinstance(one, Overhead) and one.chain == chain]
    return costs, [one for one in records if isinstance(one, Burden) and one.chain == chain]


def _deaths(records: Sequence[Record], chain: str, how: str) -> list[float]:
    return [one.told_s for one in records if isinstance(one, Death) and (one.chain, one.how) == (chain, how)]
