"""``python -m benchmarks.page``: makes the figures of the last run those that docs/performance.md shows.

Copies the JSON to docs/performance/, draws the plot from it, and writes the tables between the page's two markers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.gates import Gate, gates_table
from benchmarks.parts import PARTS
from benchmarks.results import Results
from benchmarks.spread import median
from tests.support.processes import ROOT

__all__ = ["PAGE", "PLOT", "RESULTS", "rewritten"]

PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "docs" / "performance" / "results.json"
PLOT = ROOT / "docs" / "performance" / "steps.svg"

_BEGIN = "<!-- figures: made by python -m benchmarks.page -->"
_END = "<!-- figures: end -->"
_ALONE = 0.1
_NAMES = {
    "processor": "processor",
    "cores": "cores",
    "memory": "memory",
    "kernel": "kernel",
    "python": "Python",
    "ours": "this side",
    "reference": "the other",
}


def rewritten(page: str, results: Results) -> str:
    """The page with these figures between its markers. Raises ``ValueError`` when it lacks a marker."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {_BEGIN!r} and {_END!r}")
    return f"{before}{begin}\n\n{_figures(results)}\n\n{end}{after}"


def _figures(results: Results) -> str:
    gates = results.gates()
    parts = [_machine(results), _verdict(gates), gates_table(gates).markdown()]
    if results.records.get("echo"):
        parts.append("![Steps per second over the number of sessions](performance/steps.svg)")
    return "\n\n".join([*parts, *_tables(results)])


def _tables(results: Results) -> Iterator[str]:
    """Every table, and under it the command that makes it alone."""
    target = "bench-full" if results.full else "bench"
    for name, part in PARTS.items():
        if records := results.records.get(name):
            for table in part.tables(records):
                yield f'{table.markdown()}\n\n`make {target} BENCH_ARGS="--only {name}"`'


def _machine(results: Results) -> str:
    how = "the whole matrix" if results.full else "`make bench`"
    lines = [
        f"Measured on {results.when[:10]} in {results.elapsed_s / 60:.0f} minutes ({how}): {results.rounds} rounds, windows "
        f"of up to {results.seconds:g} s. KB are 1,024 bytes, MB 1,024 KB. {_alone(results)}".rstrip(),
        "",
        "| | |",
        "|---|---|",
        *(f"| {_NAMES[name]} | {value} |" for name, value in results.machine.items() if value),
    ]
    return "\n".join(lines)


def _alone(results: Results) -> str:
    """How much else the machine did."""
    waited = [one.waited for one in results.records.get("echo", ())]
    if not waited:
        return ""
    share = median(waited)
    if share < _ALONE:
        return "The machine did little else."
    return (
        f"The machine was shared: in half of the measurements a server waited for a core for {share:.0%} of the time or more, "
        "so that steps per second and p99 differ widely between rounds, and server CPU says more."
    )


def _verdict(gates: list[Gate]) -> str:
    """What is won and what is not, in one sentence for each side."""
    held, missed = [gate for gate in gates if gate.holds], [gate for gate in gates if gate.holds is False]
    lines = [f"Of {len(held) + len(missed)} claims {len(held)} hold."]
    if missed:
        lines += ["", "What is not won in this run:", ""]
        lines += [f"- {gate.claim}: {gate.measured}, wanted {gate.bound}" for gate in missed]
    return "\n".join(lines)


def main() -> None:
    """Read the last results, and rewrite what the documentation shows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "latest.json", help="results of a run")
    options = parser.parse_args()
    results = Results.read(options.json)
    results.write(RESULTS)
    PLOT.write_text(chart(results.records["echo"]))
    PAGE.write_text(rewritten(PAGE.read_text(), results))
    print(f"{PAGE.relative_to(ROOT)} shows the run of {results.when}")


if __name__ == "__main__":
    main()
