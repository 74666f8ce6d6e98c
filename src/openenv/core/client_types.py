"""What a client of OpenEnv 0.10 returns from ``reset`` and ``step``."""

from __future__ import annotations

from typing import TypeVar

from openenv.types import StepResult

__all__ = ["ObsT", "StateT", "StepResult"]

ObsT = TypeVar("ObsT")
StateT = TypeVar("StateT")
