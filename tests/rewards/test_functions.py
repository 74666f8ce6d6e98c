from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv.errors import ConfigurationError, ExecutionFailed, ToolFailed
from openenv.rewards import Component, RewardFunction, WeightedSum, call_reward, outcome_reward
from openenv.verifiers import Grade, Verdict


@dataclass
class Seen:
    """An observation as the Calendar has it."""

    success: bool = True
    step_count: int = 1
    tool_used: str = "acl_patch"
    acl_count: int = 3


def calculate_reward(observation: Seen) -> float:
    reward = 1.0 if observation.success else -0.5
    if observation.step_count < 5:
        reward += 0.2
    if observation.tool_used in ["acl_patch", "events_update"]:
        reward += 0.1
    elif observation.tool_used in ["acl_insert", "events_insert"]:
        reward -= 0.1
    return reward


def minimal_acl_changes_reward(observation: Seen, initial_state: dict[str, int]) -> float:
    if observation.tool_used.startswith("acl_"):
        return -0.5 if observation.acl_count > initial_state["acl_count"] else 0.5
    return 0.0


def any_function(function: Any) -> RewardFunction:
    return cast("RewardFunction", function)


def test_the_overviews_two_shapes() -> None:
    assert call_reward(calculate_reward, Seen()) == pytest.approx(1.3)
    assert call_reward(calculate_reward, Seen(success=False, step_count=9, tool_used="acl_insert")) == pytest.approx(-0.6)
    assert call_reward(minimal_acl_changes_reward, Seen(), {"acl_count": 3}) == 0.5
    assert call_reward(minimal_acl_changes_reward, Seen(acl_count=4), {"acl_count": 3}) == -0.5
    assert call_reward(minimal_acl_changes_reward, Seen(tool_used="events_list"), {}) == 0.0


class Held:
    """A reward as an object, a method and a static method."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, observation: Any) -> float:
        return 3.0

    def method(self, observation: Any, initial_state: Any) -> float:
        return float(initial_state)

    @staticmethod
    def static(observation: Any) -> float:
        return 5.0


def scaled(observation: Any, scale: float = 2.0) -> float:
    return scale


def optional(observation: Any, initial_state: Any = None) -> float:
    return 0.0 if initial_state is None else 1.0


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda observation: 1, 1.0),
        (lambda observation, start: start, 7.0),
        (lambda *given: len(given), 2.0),
        (lambda observation, *rest: len(rest), 1.0),
        (lambda observation, *, scale=4: scale, 4.0),
        (scaled, 2.0),
        (optional, 1.0),
        (partial(lambda first, observation: first, 9), 9.0),
        (Held(), 3.0),
        (Held().method, 7.0),
        (Held.static, 5.0),
    ],
)
def test_functions_of_one_or_two_parameters(function: Callable[..., Any], expected: float) -> None:
    for _ in range(2):
        found = call_reward(any_function(function), Seen(), 7)
        assert found == expected
        assert type(found) is float


@pytest.mark.parametrize("function", [lambda: 1, lambda a, b, c: 1, lambda a, *, needed: 1, lambda **named: 1, 5, "reward", None])
def test_other_shapes_are_the_authors_to_mend(function: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call_reward(function, Seen())
    assert "reward(observation, initial_state)" in str(caught.value.hint)


@pytest.mark.parametrize("value", [True, False, 1, -1.5, Fraction(1, 2), 0])
def test_numbers_are_rewards(value: Any) -> None:
    assert call_reward(any_function(lambda observation: value), Seen()) == float(value)


@pytest.mark.parametrize(
    "value", [None, "1", float("nan"), float("inf"), -float("inf"), 10**400, 1j, [1], Decimal(1), object(), "x" * 1000]
)
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(ExecutionFailed, match="not a finite number") as caught:
        call_reward(any_function(lambda observation: value), Seen())
    assert len(caught.value.message) < 300


def test_a_coroutine_function_is_refused_and_leaves_no_coroutine() -> None:
    async def reward(observation: Any) -> float:
        return 1.0

    with pytest.raises(ExecutionFailed, match="coroutine function"):
        call_reward(any_function(reward), Seen())


def test_what_it_raises_is_told() -> None:
    with pytest.raises(ExecutionFailed, match="minimal_acl_changes_reward raised KeyError: 'acl_count'") as caught:
        call_reward(minimal_acl_changes_reward, Seen(), {})
    assert isinstance(caught.value.__cause__, KeyError)

    def refuses(observation: Any) -> float:
        raise ToolFailed("no", code="NO")

    with pytest.raises(ToolFailed):
        call_reward(refuses, Seen())


def test_a_type_error_inside_is_not_taken_for_a_wrong_signature() -> None:
    calls: list[int] = []

    def reward(observation: Any, initial_state: Any) -> float:
        calls.append(1)
        raise TypeError("takes 1 positional argument but 2 were given")

    with pytest.raises(ExecutionFailed, match="raised TypeError"):
        call_reward(reward, Seen())
    assert calls == [1]


def test_the_outcome() -> None:
    verdict = Verdict("a", "response", passed=True)
    assert outcome_reward(Grade(True, 1.0, [verdict])) == 1.0
    assert outcome_reward(Grade(False, 0.0, [verdict])) == 0.0


def test_a_sum_of_named_parts_explains_itself() -> None:
    reward = WeightedSum(success=calculate_reward, acls=Component(minimal_acl_changes_reward, weight=0.5))
    assert reward.explain(Seen(), {"acl_count": 3}) == {"success": pytest.approx(1.3), "acls": 0.25}
    assert reward(Seen(), {"acl_count": 3}) == pytest.approx(1.55)
    assert call_reward(reward, Seen(), {"acl_count": 3}) == pytest.approx(1.55)
    assert list(reward) == ["success", "acls"]
    nested = WeightedSum(half=Component(reward, 0.5))
    assert call_reward(nested, Seen(), {"acl_count": 3}) == pytest.approx(0.775)


def test_a_sum_is_checked_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        WeightedSum()
    with pytest.raises(ConfigurationError, match="neither one nor two"):
        WeightedSum(bad=any_function(lambda: 1))
    with pytest.raises(ConfigurationError, match="weight nan"):
        WeightedSum(bad=Component(calculate_reward, float("nan")))
    broken = WeightedSum(bad=any_function(lambda observation: None))
    with pytest.raises(ExecutionFailed):
        broken(Seen())


def test_a_sum_that_is_too_large_is_refused() -> None:
    huge = WeightedSum(a=Component(lambda observation: 1e308, 10))
    with pytest.raises(ExecutionFailed, match="not a finite number"):
        call_reward(huge, Seen())
    both = WeightedSum(a=any_function(lambda observation: 1.7e308), b=any_function(lambda observation: 1.7e308))
    with pytest.raises(ExecutionFailed, match="not a finite number"):
        both(Seen())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.floats(-100, 100))
def test_a_sum_is_what_its_explanation_adds_up_to(values: list[float], weight: float) -> None:
    parts = {f"p{i}": Component(any_function(lambda observation, value=value: value), weight) for i, value in enumerate(values)}
    reward = WeightedSum(**parts)
    assert reward(None) == pytest.approx(sum(reward.explain(None).values()))
