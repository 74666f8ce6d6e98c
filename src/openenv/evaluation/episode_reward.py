"""Rewards of whole episodes, from what a run recorded: for scoring it again with another reward."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from openenv.errors import ConfigurationError, ExecutionFailed, OpenEnvError
from openenv.operation import Event
from openenv.rewards import RewardFunction, call_reward
from openenv.verifiers import Evidence, Grade

__all__ = ["EpisodeReward", "RecordedStep", "load_reward"]

EpisodeReward = Callable[[Evidence, Grade], float]
"""A reward for a whole episode: from what happened (and the databases before and after) and what the verifiers found."""

_SHAPES = "Write reward(evidence), reward(evidence, grade) for an episode, or reward(observation) for each of its steps."


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A recorded tool call in the shape of an observation, as step rewards read it."""

    success: bool
    step_count: int
    tool_used: str
    tool_result: Any
    error_message: str | None
    done: bool


def load_reward(name: str) -> EpisodeReward:
    """The reward ``module:function``.

    A function whose first parameter is called ``evidence`` rewards the episode; it may take the `Grade` as second. Any other
    is a step reward, ``reward(observation)``: it is called with each recorded call and the rewards are added up.

    Raises `ConfigurationError` when there is no such function or its parameters are others.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
        parameters = list(inspect.signature(found).parameters.values())
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"The reward {name!r} cannot be used: {error}", field="reward", hint="Write it as module:function."
        ) from error
    if not parameters or len(parameters) > 2:
        raise ConfigurationError(f"The reward {name!r} takes {len(parameters)} parameters", field="reward", hint=_SHAPES)
    function = cast("Callable[..., Any]", found)
    if parameters[0].name != "evidence":
        return _summed(cast("RewardFunction", function))
    takes_grade = len(parameters) == 2

    def episode_reward(evidence: Evidence, grade: Grade) -> float:
        return _number(name, function, *((evidence, grade) if takes_grade else (evidence,)))

    return episode_reward


def _summed(function: RewardFunction) -> EpisodeReward:
    def reward(evidence: Evidence, grade: Grade) -> float:
        calls = [event for event in evidence.episode.events if event.tool is not None]
        steps = [_step(event, count, done=count == len(calls)) for count, event in enumerate(calls, start=1)]
        return math.fsum(call_reward(function, step, {}) for step in steps)

    return reward


def _step(event: Event, count: int, *, done: bool) -> RecordedStep:
    message = None if event.success else str((event.error or {}).get("message", ""))
    return RecordedStep(event.success, count, event.tool or "", event.value, message, done)


def _number(name: str, function: Callable[..., Any], *arguments: Any) -> float:
    try:
        value = float(function(*arguments))
    except OpenEnvError:
        raise
    except Exception as error:
        # The function is anybody's code; without its number there is no score.
        raise ExecutionFailed(f"The reward {name} raised {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise ExecutionFailed(f"The reward {name} gave {value}", hint="Return a finite number.")
    return value
