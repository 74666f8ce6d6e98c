"""Runs made by hand, for tests that need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openenv.evaluation import RunHeader, RunResults, TrialResult, load_suite, suite_digest
from openenv.evaluation.suite import settled
from openenv.scenario import Suite

FOLDER = Path(__file__).parent
SUITE = FOLDER / "library_suite"


def library() -> Suite:
    """The suite of the toy library."""
    return load_suite(SUITE)


def event(tool: str, *, code: str | None = None, read_only: bool = False, **arguments: Any) -> dict[str, Any]:
    """A recorded tool call; it failed when there is a code."""
    error = None if code is None else {"code": code, "message": f"{tool} said {code}"}
    return {
        "seq": 1,
        "op": "call_tool",
        "tool": tool,
        "arguments": arguments,
        "read_only": read_only,
        "success": code is None,
        "error": error,
        "value": None,
        "reward": 0.0,
    }


def trial(scenario: str, *, passed: bool | None = False, suite: Suite | None = None, **known: Any) -> TrialResult:
    """A trial of the library's (or another) suite, scored unless ``known`` says otherwise."""
    found = next((one for one in (suite or library()).scenarios if one.id == scenario), None)
    body: dict[str, Any] = {
        "agent": "tester",
        "scenario": scenario,
        "difficulty": found.difficulty if found else "easy",
        "pair": found.pair if found else None,
        "phrasing": found.phrasing if found else None,
        "trial": 0,
        "seed": 1,
        "status": "scored",
        "stop": "answered",
        "passed": passed,
        "reward": None if passed is None else float(passed),
    }
    return TrialResult.model_validate(body | known)


def run_of(*trials: TrialResult, suite: Suite | None = None, **known: Any) -> RunResults:
    """A run of these trials."""
    suite = suite or library()
    agents = list(dict.fromkeys(one.agent for one in trials)) or ["tester"]
    body: dict[str, Any] = {
        "openenv": "0.11.0",
        "started_at": "2026-01-05T09:00:00+00:00",
        "suite": settled(suite),
        "suite_digest": suite_digest(suite),
        "agents": agents,
        "server": {"url": "http://127.0.0.1:1", "metadata": {}, "read_only_tools": ["shelves_list", "books_count", "nap"]},
        "trials": 1 + max((one.trial for one in trials), default=0),
        "seed": 0,
        "parallel": 1,
        "timeout_s": 10.0,
        "scenarios": [scenario.id for scenario in suite.scenarios],
    }
    return RunResults(RunHeader.model_validate(body | known), list(trials))
