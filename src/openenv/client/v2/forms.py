"""How actions are written and answers read: by types, or by the hooks of an `EnvClient`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from openenv.client import frames
from openenv.types import StepResult

__all__ = ["Forms", "with_ending"]


@dataclass(frozen=True, slots=True)
class Forms:
    """The three hooks of an `EnvClient`, without a client."""

    payload: Callable[[Any], dict[str, Any]]
    result: Callable[[dict[str, Any]], StepResult[Any]]
    state: Callable[[dict[str, Any]], Any]

    @classmethod
    def of(cls, client: Any = None, observation: type[BaseModel] | None = None, state: type[BaseModel] | None = None) -> Forms:
        """By the client class's hooks where there is one, else by the types; dicts where there are none of these either."""
        if client is not None:
            hooks = client("ws://hooks")  # never connects
            return cls(hooks._step_payload, hooks._parse_result, hooks._parse_state)
        return cls(
            frames.payload_of,
            lambda data: frames.result_of(data, observation),
            lambda data: frames.state_of(data, state),
        )

    def step_result(self, data: Mapping[str, Any]) -> StepResult[Any]:
        """The result in an answer to ``reset``, ``step`` or ``call_tool``."""
        return with_ending(self.result(dict(data)), data)


def with_ending(result: StepResult[Any], data: Mapping[str, Any]) -> StepResult[Any]:
    """The result, knowing which episode it begins or how it ended. What else a hook may have returned stays as it is."""
    if isinstance(result, StepResult):
        if data.get("done"):
            result.terminated = bool(data.get("terminated", False))
            result.truncated = bool(data.get("truncated", False))
            reason = data.get("stop_reason")
            result.stop_reason = reason if isinstance(reason, str) else None
        else:
            result.terminated = result.truncated = False
        episode = data.get("episode_id")
        if isinstance(episode, str):
            result.episode_id = episode
    return result
