"""Slow work's client: the state stays as it came."""

from __future__ import annotations

from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient

from .models import SlowAction, SlowObservation


class SlowEnv(EnvClient[SlowAction, SlowObservation, dict]):
    """Takes ready-made payloads too."""

    def _step_payload(self, action: SlowAction | dict[str, Any]) -> dict[str, Any]:
        return action if isinstance(action, dict) else {"what": action.what, "company": action.company}

    def _parse_result(self, data: dict[str, Any]) -> StepResult[SlowObservation]:
        observation = SlowObservation.model_validate(data["observation"])
        return StepResult(observation, data["reward"], data["done"])

    def _parse_state(self, data: dict[str, Any]) -> dict:
        return data
