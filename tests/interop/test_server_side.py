"""The server side's public names, used by the same script under both frameworks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.compare import Accepted, differences, unexplained
from tests.interop.counts import record
from tests.support.processes import ROOT

pytestmark = pytest.mark.e2e

ACCEPTED = (Accepted("server side", "tools.10", "An environment that was closed has no tools for code to call.", theirs=True),)


def transcript(python: Path | str) -> Any:
    command = [str(python), "-W", "ignore", "-m", "tests.interop.scripts.server_transcript"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def results(value: Any) -> int:
    if isinstance(value, (list, dict)):
        return sum(results(one) for one in (value.values() if isinstance(value, dict) else value))
    return 1


def test_every_result_is_equal_or_accepted(reference_python: Path) -> None:
    theirs, ours = transcript(reference_python), transcript(sys.executable)
    found = list(differences(theirs, ours))
    left, used = unexplained("server side", found, ACCEPTED)
    assert not left
    assert used == set(ACCEPTED)
    compared = results(theirs)
    assert compared > 300
    record("server side", {"results compared": compared, "equal": compared - len(found), "accepted differences": len(found)})
