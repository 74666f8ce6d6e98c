"""``python -m tests.fuzz``: see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.campaign import again, campaign
from tests.fuzz.dialects import DIALECTS
from tests.fuzz.driver import Job
from tests.fuzz.watch import DOORS


def main() -> int:
    """Fuzz, print what was done and what was wrong, and return the number of the wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Structured fuzzing of real server processes.")
    parser.add_argument("--seed", type=int, default=1, help="everything is made of it (default 1)")
    parser.add_argument("--frames", type=int, default=20_000, help="frames and requests in all (default 20000)")
    parser.add_argument("--dialect", choices=sorted(DIALECTS), action="append", help="only this one; may be given again")
    parser.add_argument("--door", choices=DOORS, action="append", help="only this way in; may be given again")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only the conversation of this number, with one --dialect")
    parser.add_argument("--keep", metavar="NUMBERS", help="with --only: only these frames of it, as in 0,3; or none")
    parser.add_argument("--parallel", type=int, default=48, help="conversations at once (default 48)")
    given = parser.parse_args()
    dialects, doors = tuple(given.dialect or DIALECTS), tuple(given.door or DOORS)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if given.only is None:
            run = campaign(
                Path(folder), seed=given.seed, frames=given.frames, dialects=dialects, doors=doors, parallel=given.parallel
            )
        else:
            numbers = None if given.keep is None else tuple(int(one) for one in given.keep.split(",") if one != "none")
            run = again(Path(folder), Job(dialects[0], given.seed, given.only, doors[0], 0), numbers)
        report = asyncio.run(run)
    sys.stdout.write(f"{report}\n{time.monotonic() - began:.0f} s\n")
    return min(len(report.wrong), 100)


if __name__ == "__main__":
    sys.exit(main())
