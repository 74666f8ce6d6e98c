"""What the client costs before it does anything: time and memory of its import, and how many distributions come with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gates import Gate, at_most
from benchmarks.part import Run
from benchmarks.servers.start import REFERENCE_PYTHON
from benchmarks.spread import Spread, ratios
from benchmarks.tables import Table, figure
from tests.support.processes import ROOT

__all__ = ["RECORDS", "Import", "gates", "measure", "tables"]

OURS = "this openenv's client"
LIBRARIES = "pydantic and websockets alone"
REFERENCE = "openenv 0.10.0's client"
MOST_DISTRIBUTIONS = 30

_STATEMENTS = {
    OURS: (Path(sys.executable), "from openenv import EnvClient"),
    LIBRARIES: (Path(sys.executable), "import pydantic; import websockets.asyncio.client"),
    REFERENCE: (REFERENCE_PYTHON, "from openenv.core import EnvClient"),
}
_COUNTING = (ROOT / "benchmarks" / "distributions.py").resolve()


@dataclass(frozen=True)
class Import:
    """One import in a fresh process."""

    what: str
    number: int
    seconds: float
    grown_mb: float
    """Resident memory beyond that of the bare interpreter, in MB of 2**20 bytes."""
    distributions: int
    """What a bare install brings, itself included; 0 where nothing is installed for it alone."""


RECORDS = (Import,)


def measure(run: Run) -> Iterator[Import]:
    """Yield the imports, interleaved; the first round, which compiles what is not compiled yet, does not count."""
    run.progress("imports")
    counts = {OURS: _distributions(Path(sys.executable)), LIBRARIES: 0, REFERENCE: _distributions(REFERENCE_PYTHON)}
    for number in range(-1, run.rounds):
        for what, (python, statement) in _STATEMENTS.items():
            seconds, grown = _imported(python, statement)
            if number >= 0:
                yield Import(what, number, round(seconds, 4), round(grown, 2), counts[what])


def _imported(python: Path, statement: str) -> tuple[float, float]:
    memory = "int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2**20"
    code = (
        f"import json, resource, time; before = {memory}; t = time.perf_counter(); {statement}; "
        f"t = time.perf_counter() - t; print(json.dumps([t, {memory} - before]))"
    )
    seconds, grown = json.loads(_output([str(python), "-c", code]))
    return float(seconds), float(grown)


def _distributions(python: Path) -> int:
    return int(_output([str(python), "-P", str(_COUNTING), "openenv"]))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def tables(records: Sequence[Import]) -> list[Table]:
    """One."""
    rows = []
    for what in dict.fromkeys(one.what for one in records):
        seen = [one for one in records if one.what == what]
        times, memory = Spread.of(one.seconds for one in seen), Spread.of(one.grown_mb for one in seen)
        count = seen[0].distributions
        rows.append([what, figure(times.median), figure(memory.median), str(count) if count else "–"])
    return [Table("Importing the client", ["", "seconds", "MB", "distributions of a bare install"], rows)]


def gates(records: Sequence[Import]) -> list[Gate]:
    """The number of distributions. The time is shown only: it has an aim and no bound."""
    counts = [one.distributions for one in records if one.what == OURS][:1]
    times = {what: {one.number: one.seconds for one in records if one.what == what} for what in (OURS, LIBRARIES, REFERENCE)}
    found = [
        f"{figure(Spread.of(seen).median)} times {other}"
        for other in (LIBRARIES, REFERENCE)
        if (seen := ratios(times[OURS], times[other]))
    ]
    remark = f"its client's import takes {', '.join(found)}" if found else ""
    return [at_most("distributions of the bare install", MOST_DISTRIBUTIONS, counts, remark=remark)]
