"""``make bench``: measures side by side and prints the tables; BENCH_ARGS="--help" shows what can be chosen."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import calendar, echo, imports
from benchmarks.report import Report
from tests.support.processes import ROOT, running

PARTS = ("echo", "calendar", "imports")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement (default 3)")
    parser.add_argument("--sessions", default="1,64,256", help="numbers of sessions (default 1,64,256)")
    parser.add_argument("--against", metavar="COMMIT", help="also measure the echo environment as it was served at this commit")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part only (may be repeated)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "results" / "latest.json", help="where results go")
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for, print it, and keep it as JSON."""
    options = arguments()
    parts = options.only or PARTS
    report = Report()
    with tempfile.TemporaryDirectory(prefix="openenv-bench-") as folder:
        if "echo" in parts:
            sessions = [int(count) for count in options.sessions.split(",")]
            with running(Path(folder)) as servers:
                started = echo.start(servers)
                if options.against:
                    started[echo.EARLIER] = echo.start_earlier(servers, options.against)
                total = len(started) * len(sessions) * options.rounds
                begin = time.monotonic()
                for done, entry in enumerate(echo.measure(started, sessions, options.rounds, options.seconds), 1):
                    report.echo.append(entry)
                    progress(f"{done}/{total} {entry.server}, {entry.sessions} sessions, {time.monotonic() - begin:.0f} s")
        if "calendar" in parts:
            progress("calendar")
            with running(Path(folder)) as servers:
                report.calendar.extend(calendar.measure(servers("calendar"), options.rounds))
        if "imports" in parts:
            progress("imports")
            report.imports.extend(imports.measure(options.rounds))
    progress("")
    report.write(options.json)
    print(report.text())
    print(f"\nmedians of {options.rounds} rounds; every measurement is in {options.json}")


def progress(text: str) -> None:
    """Show where the run is, on one line of a terminal; nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
