"""From a grade to a trial's status, pass and reward: one rule for a trial that has just run and for one scored again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openenv.evaluation.results import TrialResult

__all__ = ["ENVIRONMENT_CODES", "INFRASTRUCTURE_CODES", "apply_grade"]

INFRASTRUCTURE_CODES = frozenset(
    {
        "CAPACITY_REACHED",
        "CONFIGURATION_ERROR",
        "CONNECTION_FAILED",
        "DEADLINE_EXCEEDED",
        "INTERNAL_ERROR",
        "INVALID_JSON",
        "OVERLOADED",
        "PAYLOAD_TOO_LARGE",
        "RATE_LIMITED",
        "SESSION_ERROR",
        "SESSION_LOST",
        "SHUTTING_DOWN",
        "UNKNOWN_TYPE",
    }
)
"""Errors of what carries the calls."""

ENVIRONMENT_CODES = frozenset(
    {
        "EXECUTION_ERROR",
        "FACTORY_ERROR",
        "LANE_LOST",
        "TOOL_SERVER_FAILED",
        "WORKER_CRASHED",
        "WORKER_MEMORY",
        "WORKER_TIMEOUT",
    }
)
"""Errors that say that the environment itself broke: it raised what it did not mean to raise."""


def apply_grade(result: TrialResult, *, passed: bool, reward: float, verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Note the grade in a result whose events are complete.

    A trial in which a tool broke or a verifier could not decide does not count, whatever its outcome: leaving out only
    those that failed would flatter the agent. An agent that raised has failed, whatever the verifiers say.
    """
    result.verdicts = [dict(verdict) for verdict in verdicts]
    broken = _breakage(result)
    if broken is not None:
        result.status, result.error = "environment_error", broken
        result.passed, result.reward = None, None
    elif result.stop == "error":
        result.status, result.passed, result.reward = "agent_error", False, 0.0
    else:
        result.status, result.error = "scored", None
        result.passed, result.reward = passed, reward


def _breakage(result: TrialResult) -> dict[str, Any] | None:
    for event in result.events:
        error = event.get("error") or {}
        if error.get("code") in ENVIRONMENT_CODES:
            return {**error, "tool": event.get("tool")}
    for verdict in result.verdicts:
        if verdict.get("error"):
            return {**verdict["error"], "verifier": verdict.get("name")}
    return None
