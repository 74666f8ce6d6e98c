"""How many sessions a server can open, reset and close in a second; 16 at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.gates import Gate
from benchmarks.part import Run
from benchmarks.rounds import Round, Rounds, Setting, measure_rounds
from benchmarks.servers.fleet import wanted
from benchmarks.servers.start import DEFAULT, NONE, NOT_APPLICABLE
from benchmarks.tables import Table

__all__ = ["RECORDS", "gates", "measure", "tables"]

RECORDS = (Round,)
_AT_ONCE = 16
_SHARE = 0.6


def measure(run: Run) -> Iterator[Round]:
    """Yield every measurement."""
    run.progress("connects: starting the servers")
    seconds = run.seconds * (1.0 if run.full else _SHARE)
    targets = run.fleet(wanted("floor", "reference echo", "ours echo none", "ours echo default"))
    settings = [Setting("bare ASGI echo", NOT_APPLICABLE, targets["floor"], "echo", _AT_ONCE, seconds, kind="connects")]
    for chain in (NONE, DEFAULT):
        ours = targets[f"ours echo {chain}"]
        for row, dialect in (("OpenEnv's dialect", "openenv"), ("v2", "v2"), ("HTTP /sessions", "http")):
            settings.append(Setting(row, chain, ours, dialect, _AT_ONCE, seconds, kind="connects"))
    reference = targets["reference echo"]
    settings.append(Setting("openenv 0.10.0", NOT_APPLICABLE, reference, "openenv", _AT_ONCE, seconds, kind="connects"))
    for entry in measure_rounds(run.load, settings, run.rounds):
        run.progress(f"connects: round {entry.number + 1} of {run.rounds}, {entry.row}")
        yield entry


def tables(records: Sequence[Round]) -> list[Table]:
    """One."""
    return [Rounds(records).table("Connect, reset and close, 16 at once", _AT_ONCE, "sessions/s")]


def gates(records: Sequence[Round]) -> list[Gate]:
    """Nothing is claimed."""
    return []
