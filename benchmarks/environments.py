"""The same echo in environments of every kind, 64 sessions in OpenEnv's dialect: inline, on threads, async, blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.gates import Gate
from benchmarks.part import Run
from benchmarks.rounds import Round, Rounds, Setting, measure_rounds
from benchmarks.servers.fleet import wanted
from benchmarks.servers.start import DEFAULT, NONE, NOT_APPLICABLE
from benchmarks.tables import Table

__all__ = ["RECORDS", "SESSIONS", "gates", "measure", "tables"]

RECORDS = (Round,)
SESSIONS = 64
_SHARE = 0.6
OURS = {
    "echo": "sync, inline",
    "threads": "sync, thread pool",
    "async": "async",
    "blocking": "sync, 5 ms blocked",
}
REFERENCE = {
    "echo": "openenv 0.10.0, sync",
    "async": "openenv 0.10.0, async",
    "blocking": "openenv 0.10.0, sync, 5 ms blocked",
}


def measure(run: Run) -> Iterator[Round]:
    """Yield every measurement."""
    run.progress("environments: starting the servers")
    seconds = run.seconds * (1.0 if run.full else _SHARE)
    rows = {f"ours {name} {chain}": (row, chain) for name, row in OURS.items() for chain in (NONE, DEFAULT)}
    rows |= {f"reference {name}": (row, NOT_APPLICABLE) for name, row in REFERENCE.items()}
    targets = run.fleet(wanted(*rows))
    settings = [Setting(*row, targets[name], "openenv", SESSIONS, seconds) for name, row in rows.items()]
    for entry in measure_rounds(run.load, settings, run.rounds):
        run.progress(f"environments: round {entry.number + 1} of {run.rounds}, {entry.row}")
        yield entry


def tables(records: Sequence[Round]) -> list[Table]:
    """One."""
    return [Rounds(records).table(f"Kinds of environments, {SESSIONS} sessions, OpenEnv's dialect", SESSIONS)]


def gates(records: Sequence[Round]) -> list[Gate]:
    """Nothing is claimed."""
    return []
