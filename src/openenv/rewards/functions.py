"""Reward functions: plain functions of an observation, and of the episode's first state where they ask for it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any, Protocol

from openenv.errors import ConfigurationError, ExecutionFailed, OpenEnvError
from openenv.verifiers import Grade

__all__ = ["Component", "RewardFunction", "WeightedSum", "call_reward", "outcome_reward"]


class OneParameter(Protocol):
    """A reward that reads the observation alone."""

    def __call__(self, observation: Any, /) -> float: ...


class TwoParameters(Protocol):
    """A reward that also reads the state in which the episode began."""

    def __call__(self, observation: Any, initial_state: Any, /) -> float: ...


RewardFunction = OneParameter | TwoParameters
"""``reward(observation)`` or ``reward(observation, initial_state)``, giving a finite number."""


def outcome_reward(grade: Grade) -> float:
    """1.0 when every verifier passed, else 0.0."""
    return 1.0 if grade.passed else 0.0


def call_reward(function: RewardFunction, observation: Any, initial_state: Any = None) -> float:
    """Call a reward function with what it takes and return its number; ``True`` is 1.0.

    Whether it takes the initial state is decided once per function: when its second parameter has no default or is
    called ``initial_state``.

    Raises:
        ConfigurationError: It takes neither one nor two parameters.
        ExecutionFailed: It raised, or its result is not a finite number.
    """
    name, takes_state = signature_of(function)
    call: Callable[..., Any] = function
    try:
        result = call(observation, initial_state) if takes_state else call(observation)
    except OpenEnvError:
        raise
    except Exception as error:
        raise ExecutionFailed(
            f"Reward function {name} raised {type(error).__name__}: {error}", hint="Mend the function; no reward was given."
        ) from error
    return _finite(result, name)


def signature_of(function: RewardFunction) -> tuple[str, bool]:
    """The function's name, and whether it takes the initial state. Raises `ConfigurationError` when it cannot be called."""
    subject: Any = function
    try:
        hash(subject)
    except TypeError:
        return _signature.__wrapped__(subject)
    return _signature(subject)


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> tuple[str, bool]:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ConfigurationError(f"Reward {name} cannot be called or tells no signature", hint=_SHAPE) from None
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in by_place if p.default is p.empty]
    rest = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    by_name_only = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    if by_name_only or len(needed) > 2 or not (by_place or rest):
        raise ConfigurationError(f"Reward function {name} takes neither one nor two parameters", hint=_SHAPE)
    second = by_place[1] if len(by_place) > 1 else None
    if second is None:
        return name, rest
    return name, second.default is second.empty or second.name == "initial_state"


_SHAPE = "Write it as reward(observation) or reward(observation, initial_state)."


def _finite(result: Any, name: str) -> float:
    if inspect.iscoroutine(result):
        result.close()
        raise ExecutionFailed(f"Reward function {name} is a coroutine function", hint="Write it with def, not async def.")
    if isinstance(result, Real):
        try:
            number = float(result)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    shown = repr(result)
    raise ExecutionFailed(
        f"Reward function {name} gave {shown if len(shown) <= 80 else shown[:77] + '...'}, which is not a finite number",
        hint="Return an int or a float, 0.0 where there is nothing to reward.",
    )


@dataclass(frozen=True, slots=True)
class Component:
    """One named part of a reward."""

    function: RewardFunction
    weight: float = 1.0


class WeightedSum:
    """A reward made of named ones: the sum of each one's number times its weight. It is a reward function itself.

    ::

        reward = WeightedSum(success=calculate_reward, acls=Component(minimal_acl_changes_reward, weight=0.5))
        reward(observation, {"acl_count": 3})
        reward.explain(observation, {"acl_count": 3})  # {"success": 1.2, "acls": 0.25}
    """

    def __init__(self, **components: RewardFunction | Component) -> None:
        """Raises `ConfigurationError` when there are no components, or one is no reward function or has no finite weight."""
        if not components:
            raise ConfigurationError("A WeightedSum needs at least one component", hint="WeightedSum(success=my_reward)")
        self.components: Mapping[str, Component] = {
            name: part if isinstance(part, Component) else Component(part) for name, part in components.items()
        }
        for name, part in self.components.items():
            signature_of(part.function)
            if not math.isfinite(part.weight):
                raise ConfigurationError(f"The component {name!r} has the weight {part.weight}", hint="Give a finite number.")

    def __iter__(self) -> Iterator[str]:
        return iter(self.components)

    def __call__(self, observation: Any, initial_state: Any = None) -> float:
        """The sum. Raises as `call_reward` does."""
        return _finite(sum(self.explain(observation, initial_state).values()), "WeightedSum")

    def explain(self, observation: Any, initial_state: Any = None) -> dict[str, float]:
        """What each component adds to the sum, by name."""
        return {
            name: part.weight * call_reward(part.function, observation, initial_state) for name, part in self.components.items()
        }
