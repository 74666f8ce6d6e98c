"""The client that needs to know nothing of an environment's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from openenv.client import frames
from openenv.client.generic import GenericAction
from openenv.core.client_errors import spoken_as_0_10
from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient

__all__ = ["GenericAction", "GenericEnvClient"]


class GenericEnvClient(EnvClient[Mapping[str, Any] | BaseModel, dict[str, Any], dict[str, Any]]):
    """A client of any environment: actions are mappings (or models), observations and states are dicts."""

    def _step_payload(self, action: Any) -> dict[str, Any]:
        with spoken_as_0_10():
            return frames.payload_of(action)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[dict[str, Any]]:
        return StepResult(
            observation=payload.get("observation", {}),
            reward=payload.get("reward"),
            done=payload.get("done", False),
            metadata=payload.get("metadata"),
        )

    def _parse_state(self, payload: dict[str, Any]) -> dict[str, Any]:
        return payload
