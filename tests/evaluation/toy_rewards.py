"""Rewards for tests, as a user would write them."""

from __future__ import annotations

from typing import Any


def calls_are_costly(evidence: Any, grade: Any) -> float:
    """One for success, less a tenth for each call."""
    return float(grade.passed) - 0.1 * len(evidence.episode.events)


def success_of_a_step(observation: Any) -> float:
    """One for each call that succeeded."""
    return 1.0 if observation.success else -0.5


def takes_too_much(a: int, b: int, c: int) -> float:
    """No reward."""
    return float(a + b + c)
