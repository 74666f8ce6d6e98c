"""A run of every dialect at every door, and whether a fault would be found and could be played again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.campaign import campaign
from tests.fuzz.dialects import DIALECTS, conversation
from tests.fuzz.v2_line import Outcome
from tests.fuzz.v2_plan import Effect, V2Say
from tests.fuzz.watch import crashes
from tests.support.processes import ROOT

SEED = 20_261
FRAMES = 20_500


@pytest.mark.e2e
@pytest.mark.timeout(600)
async def test_every_dialect_at_every_door(tmp_path: Path) -> None:
    report = await campaign(tmp_path, seed=SEED, frames=FRAMES)
    assert not report.wrong, str(report)
    assert sum(report.frames.values()) >= 20_000
    assert set(report.frames) == set(DIALECTS)
    assert min(report.frames.values()) >= 100


@pytest.mark.e2e
def test_a_fault_is_found_told_with_its_seed_and_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target raises in one action what it was not told to raise: the second frame of some conversation."""
    monkeypatch.setenv("OPENENV_FUZZ_PLANTED_FAULT", "1")
    found = _run("--seed", "5", "--frames", "600", "--dialect", "openenv", "--door", "fast")
    assert found.returncode > 0
    assert "EXECUTION_ERROR, and the environment did not raise" in found.stdout
    command = next(line.split("again: ")[1] for line in found.stdout.splitlines() if "again: " in line and "--keep" in line)
    again = _run(*shlex.split(command)[3:])
    assert again.returncode > 0
    assert "seed 5: 1 frames in 1 conversations" in again.stdout
    monkeypatch.delenv("OPENENV_FUZZ_PLANTED_FAULT")
    assert _run(*shlex.split(command)[3:]).returncode == 0


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.fuzz", *options], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_conversation_is_made_of_its_seed_and_number_alone(dialect: str) -> None:
    def sent(seed: int, number: int) -> list[bytes]:
        return conversation(dialect, seed, number)[1].sent

    assert [sent(3, number) for number in range(20)] == [sent(3, number) for number in range(20)]
    assert [sent(3, number) for number in range(20)] != [sent(4, number) for number in range(20)]


def test_what_is_not_done_once_is_seen() -> None:
    say = V2Say(b"{}", "a step", 0, number=7, again=True)

    def wrong(times: int, *codes: str, oks: int = 0, sure: bool = False) -> str | None:
        return Outcome(Effect(0, "tag", sure=sure), say, oks + len(codes), [{}] * oks, list(codes)).wrong(times)

    assert [wrong(1, oks=2), wrong(0, "SESSION_ERROR"), wrong(1, "EXECUTION_ERROR"), wrong(1, "DEADLINE_EXCEEDED")] == [None] * 4
    assert wrong(2, oks=1) == "done 2 times"
    assert wrong(0, oks=1) == "answered with ok, and not done"
    assert wrong(1, "OVERLOADED", "ID_REUSED") == "refused with ['OVERLOADED', 'ID_REUSED'], and done"
    assert wrong(0, "OVERLOADED", sure=True) == "not done, and answered with ['OVERLOADED']"


def test_which_lines_of_a_log_are_crashes() -> None:
    head = "Traceback (most recent call last):\n  File x, line 1, in y\n    z\n"
    assert crashes("all is well\n") == []
    assert crashes(f"{head}tests.fuzz.target.TargetFault: the target's own fault\nmore\n") == []
    assert crashes(f"{head}KeyError: 'x'\nmore\n") == [f"the log has a traceback:\n{head.split(chr(10), 1)[1]}KeyError: 'x'"]
    assert crashes(json.dumps({"exception": f"{head}tests.fuzz.target.TargetFault: the target's own fault\n"})) == []
    assert len(crashes(json.dumps({"exception": f"{head}KeyError: 'x'\n", "more": "z"}))) == 1
    assert crashes("Task exception was never retrieved\n")
