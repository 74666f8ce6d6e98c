"""Every script in examples/ runs, against real servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Servers

pytestmark = pytest.mark.e2e

EXAMPLES = ROOT / "examples"


def run(*command: str, cwd: Path = EXAMPLES) -> str:
    """What the command printed; it has to succeed."""
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guesser_finds_the_number(serve: Servers) -> None:
    server = serve("guess_env:app", cwd=EXAMPLES)
    lines = run("play_guess.py", server.url).splitlines()
    assert lines[-1].endswith(": Right.")
    assert 1 <= len(lines) <= 4
    assert run("play_guess.py", server.url).splitlines() == lines


def test_an_episode_is_graded_from_outside(serve: Servers) -> None:
    server = serve("desk_env:app", cwd=EXAMPLES)
    lines = run("grade_desk.py", server.url).splitlines()
    assert lines[0] == "pen is in drawer 3"
    assert lines[1].startswith("Pen_In_Drawer_3: passed.")
    assert lines[2].startswith("no_collateral_changes: passed.")
    assert lines[3] == "reward 1.0"


def test_the_suite_is_sound_and_runs_an_agent_of_ones_own(tmp_path: Path) -> None:
    agents = ["oracle", "noop", "desk_agent:look_everywhere"]
    options = [word for agent in agents for word in ("--agent", agent)]
    bars = ["--fail-under", "oracle=1", "--fail-under", "look_everywhere=0.5"]
    out = tmp_path / "run"
    run("-m", "openenv.cli", "eval", "desk_suite.json", *options, *bars, "--out", str(out))
    assert {path.name for path in out.iterdir()} >= {"results.jsonl", "summary.json", "report.html"}
