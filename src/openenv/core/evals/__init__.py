"""Evaluation harnesses, OpenEnv 0.10's way. `openenv.evaluation` has suites, agents and reports."""

from __future__ import annotations

from openenv.core.evals.base import EvalHarness
from openenv.core.evals.inspect_harness import InspectAIHarness
from openenv.core.evals.types import EvalConfig, EvalResult

__all__ = ["EvalConfig", "EvalHarness", "EvalResult", "InspectAIHarness"]
