"""What is evaluated, and what came of it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["EvalConfig", "EvalResult"]


class EvalConfig(BaseModel):
    """Everything that an evaluation depends on, so that it can be run again."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    harness_name: str
    harness_version: str
    library_versions: dict[str, str]
    dataset: str
    eval_parameters: dict[str, Any]


class EvalResult(BaseModel):
    """An evaluation's scores, with what they depend on."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    config: EvalConfig
    scores: dict[str, Any]
