"""What environments return, looked at once per type: asking a model whether it is one of another's costs as much as a step."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel

from openenv.errors import ExecutionFailed
from openenv.types import Observation, WireObservation

__all__ = ["Seen"]


class Seen:
    """The types of observations that one environment has returned."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self.natives: dict[type, bool] = {}
        """Whether each knows ``terminated`` and ``truncated``. What is not among them is yet to be checked."""

    def check(self, observation: Any) -> None:
        """Raise `ExecutionFailed` for what is no observation."""
        kind = type(observation)
        if inspect.iscoroutine(observation):
            observation.close()
            raise ExecutionFailed(
                f"{self._environment} returned a coroutine from a synchronous environment",
                hint="Derive it from AsyncEnvironment.",
            )
        if not issubclass(kind, WireObservation) and not _is_like_one(kind):
            raise ExecutionFailed(
                f"{self._environment} returned {kind.__name__}, not an Observation",
                hint="reset and step return an Observation.",
            )
        self.natives[kind] = issubclass(kind, Observation)

    def ended(self, observation: Any) -> bool:
        """Whether the episode is over."""
        if observation.done:
            return True
        native = self.natives.get(type(observation))
        if native is None:  # what a transform made of it
            native = isinstance(observation, Observation)
        return native and (observation.terminated or observation.truncated)


def _is_like_one(kind: type) -> bool:
    """Whether a model of another family has what travels, as some environments' own observations do."""
    fields = kind.model_fields if issubclass(kind, BaseModel) else {}
    return {"done", "reward", "metadata"} <= fields.keys()
