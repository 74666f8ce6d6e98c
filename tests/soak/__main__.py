"""``python -m tests.soak``: see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.soak.run import APP, APP_APART, soak
from tests.support.processes import ROOT, running


def main() -> int:
    """Soak a server, print what it had in use, and return whether that has grown."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Open and close sessions in every way.")
    parser.add_argument("--sessions", type=int, default=200_000, help="how many (default 200000)")
    parser.add_argument("--minutes", type=float, default=30.0, help="at most for so long (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="what the clients do is made of it (default 1)")
    parser.add_argument("--parallel", type=int, default=64, help="clients at once (default 64)")
    parser.add_argument("--apart", action="store_true", help="worlds in worker processes, some of which die")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as servers:
        server = servers(APP_APART if given.apart else APP, cwd=ROOT)
        report = asyncio.run(
            soak(
                server,
                sessions=given.sessions,
                seconds=given.minutes * 60,
                seed=given.seed,
                parallel=given.parallel,
                apart=given.apart,
            )
        )
    sys.stdout.write(f"{report}\n")
    return bool(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
