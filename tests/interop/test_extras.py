"""What is said where an older line of an optional library is installed, as OpenEnv 0.10 leaves it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from openenv.extras import missing_mcp_sdk
from tests.support.processes import ROOT


def test_the_sdk_that_is_here_will_do() -> None:
    assert missing_mcp_sdk() is None


def test_an_older_line_counts_as_missing(reference_python: Path) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); from openenv.extras import missing_mcp_sdk; print(missing_mcp_sdk())"
    command = [str(reference_python), "-c", script, str(ROOT / "src")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    assert said == "mcp 1.30.0 is installed, and 2.3 is the oldest that will do"
