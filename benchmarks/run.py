"""``make bench``: measures side by side, prints the tables, keeps JSON and SVG; BENCH_ARGS="--help" shows what can be chosen."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.chart import chart
from benchmarks.gates import gates_table
from benchmarks.load.process import loading
from benchmarks.part import Run, folder_of_servers
from benchmarks.parts import PARTS
from benchmarks.results import Results
from benchmarks.servers.fleet import Fleet
from tests.support.processes import ROOT

__all__ = ["main"]

_SECONDS = {False: 0.5, True: 2.0}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the whole matrix, in longer windows")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, help="seconds of a measurement (default 0.5, with --full 2)")
    parser.add_argument("--against", metavar="COMMIT", help="also measure the echo environment as it was served at this commit")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="measure this part only (may be repeated)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "latest.json", help="where results go")
    return parser.parse_args()


def main() -> int:
    """Measure what the command line asks for, print it, and keep it as JSON and, with the echo, as a plot.

    A part that fails does not end the others; then the exit code is 1.
    """
    options = arguments()
    began = time.monotonic()
    results = Results(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe(),
        rounds=options.rounds,
        seconds=options.seconds or _SECONDS[options.full],
        full=options.full,
    )
    failed = []
    with loading() as load, folder_of_servers() as servers:

        def progress(text: str) -> None:
            _show(f"{time.monotonic() - began:4.0f} s  {text}")

        run = Run(load, Fleet(servers), results.rounds, results.seconds, results.full, options.against, progress)
        for name in options.only or PARTS:
            part_began = time.monotonic()
            try:
                results.records[name] = []
                for record in PARTS[name].measure(run):
                    results.records[name].append(record)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed.append(f"{name}: {type(error).__name__}: {error}")
            results.elapsed_s = round(time.monotonic() - began, 1)
            results.write(options.json)
            _show("")
            print(f"{name}: measured in {time.monotonic() - part_began:.0f} s", flush=True)
    _print(results, options.json)
    for text in failed:
        print(f"FAILED  {text}")
    return 1 if failed else 0


def _print(results: Results, path: Path) -> None:
    print()
    for table in (*results.tables(), gates_table(results.gates())):
        print(f"{table.text()}\n")
    print(f"medians of {results.rounds} rounds; every measurement is in {path}")
    if results.records.get("echo"):
        plot = path.with_suffix(".svg")
        plot.write_text(chart(results.records["echo"]))
        print(f"plot: {plot}")
    print(f"measured in {results.elapsed_s:.0f} s")


def _show(text: str) -> None:
    """Show where the run is, on one line of a terminal; nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
