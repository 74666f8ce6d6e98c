"""The bodies of OpenEnv's HTTP requests, as the routes read them and as OpenEnv 0.10's users import them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ResetRequest", "SplitRequest", "StepRequest", "TaskRangeRequest", "TaskRequest"]


class ResetRequest(BaseModel):
    """The body of ``POST /reset``; further fields are passed to the environment's ``reset``."""

    model_config = ConfigDict(extra="allow")

    seed: int | None = Field(default=None, ge=0)
    episode_id: str | None = Field(default=None, max_length=255)


class StepRequest(BaseModel):
    """The body of ``POST /step``; further fields are passed to the environment's ``step`` where it names them."""

    model_config = ConfigDict(extra="allow")

    action: dict[str, Any]
    timeout_s: float | None = Field(default=None, gt=0)
    request_id: str | None = Field(default=None, max_length=255)


class SplitRequest(BaseModel):
    """Which split of a catalogue of tasks."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    split: str


class TaskRequest(SplitRequest):
    """Which task of which split."""

    index: int


class TaskRangeRequest(SplitRequest):
    """Which tasks of which split, as a slice."""

    start: int | None = None
    stop: int | None = None
