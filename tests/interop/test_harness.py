"""Rollouts, collecting and agents in containers: the same script under both frameworks, and every result compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interop.compare import ABSENT, Accepted, Difference, differences, unexplained
from tests.interop.counts import record
from tests.support.processes import ROOT

pytestmark = pytest.mark.e2e

_READ = "A tool that fails and returns nothing tells the model why; 0.10 shows it an empty text."
_TYPED = "A request of the wrong shape is answered with a typed error, and never reaches a tool."
_NULL = "Arguments that are null are no arguments."
_ANSWERED = "A session that cannot list its tools is answered as one whose tool fails."

_ENGINE = "What the engine calls, and a turn whose events are told as they come."

ACCEPTED = (
    *(
        Accepted("names", f"HarnessEnvironment.{name}", _ENGINE, theirs=ABSENT)
        for name in ("connect", "disconnect", "set_mode", "tool_listings", "turn")
    ),
    Accepted("what_the_model_reads", "error", _READ, theirs=""),
    *(
        Accepted("bridge", f"{name}.*", _TYPED)
        for name in ("name a *", "arguments a list", "params a text", "id a list", "a list", "null")
    ),
    Accepted("bridge", "arguments null.*", _NULL),
    Accepted("bridge", "list raises.*", _ANSWERED),
)


def transcript(python: Path | str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    environment.pop("PYTHONPATH", None)
    command = [str(python), "-m", "tests.interop.scripts.harness_transcript"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compared(theirs: dict[str, Any], ours: dict[str, Any]) -> tuple[dict[str, list[Difference]], set[Accepted], int]:
    """What nothing explains by case, what was used to explain the rest, and how many cases are equal."""
    assert theirs.keys() == ours.keys()
    wrong: dict[str, list[Difference]] = {}
    used: set[Accepted] = set()
    equal = 0
    for case, their in theirs.items():
        found = list(differences(their, ours[case]))
        equal += not found
        left, reasons = unexplained(case, found, ACCEPTED)
        used |= reasons
        if left:
            wrong[case] = left
    return wrong, used, equal


def leaves(value: Any) -> int:
    """How many results a document has: entries of its cases."""
    return len(value) if isinstance(value, (dict, list)) else 1


def test_every_result_is_equal_or_accepted(reference_python: Path) -> None:
    theirs = transcript(reference_python)
    ours = transcript(sys.executable)
    wrong, used, equal = compared(theirs, ours)
    assert wrong == {}
    assert used == set(ACCEPTED), "what is accepted and does not differ is out of date"
    results = sum(map(leaves, ours.values()))
    assert results > 250
    record("harness", {"results compared": results, "cases equal": equal, "accepted differences": len(used)})


def test_a_result_that_is_missing_is_a_difference() -> None:
    assert list(differences({"a": 1}, {})) == [Difference("a", 1, ABSENT)]
