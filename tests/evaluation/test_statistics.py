from __future__ import annotations

from math import sqrt

import pytest

from openenv.evaluation.statistics import (
    Rate,
    clustered_rate,
    clustered_variance,
    mean_over_scenarios,
    pass_at_k,
    pass_hat_k,
    rate,
    wilson,
)


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    # Worked by hand with z = 1.959964: centre (p + z²/2n) / (1 + z²/n), half z/(1 + z²/n) · √(p(1-p)/n + z²/4n²).
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (41, 100, 0.3187, 0.5080), (1, 1, 0.2065, 1.0)],
)
def test_wilson(passed: int, total: int, low: float, high: float) -> None:
    found = rate(passed, total)
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)
    assert found.value == passed / total


def test_nothing_counted_has_no_rate() -> None:
    nothing = Rate(0, 0, None, None, None)
    assert rate(0, 0) == nothing
    assert clustered_rate([]) == nothing
    assert clustered_rate([[], []]) == nothing


def test_one_trial_a_scenario_is_the_plain_rate() -> None:
    assert clustered_rate([[True], [False], [True]]) == rate(2, 3)


def test_one_scenario_alone_is_the_plain_rate() -> None:
    assert clustered_rate([[True, False, True, True]]) == rate(3, 4)


def test_clustered_variance_by_hand() -> None:
    # p = 1/2 of n = 8; residual sums of the clusters are +2, -2, 0, 0; (4/3) · (4 + 4) / 64 = 1/6.
    clusters = [[True] * 4, [False] * 4]
    assert clustered_variance(clusters) == pytest.approx(2 / 1 * (4 + 4) / 64)
    mixed = [[True, True], [False, False], [True, False], [False, True]]
    assert clustered_variance(mixed) == pytest.approx(4 / 3 * (1 + 1) / 64)


def test_trials_that_all_agree_within_a_scenario_count_as_one_each() -> None:
    # Ten scenarios, five trials each, every scenario all or nothing: 50 trials know no more than about 10 do.
    found = clustered_rate([[index < 5] * 5 for index in range(10)])
    # variance = 10/9 · 10 · 2.5² / 50² = 0.027778, effective size 0.25 / 0.027778 = 9.
    low, high = wilson(0.5, 9)
    assert (found.passed, found.total, found.value) == (25, 50, 0.5)
    assert [found.low, found.high] == pytest.approx([low, high])


def test_trials_that_differ_within_scenarios_count_in_full() -> None:
    found = clustered_rate([[True, False]] * 10)
    assert (found.low, found.high) == wilson(0.5, 20)


def test_a_perfect_score_is_only_as_sure_as_there_are_scenarios() -> None:
    found = clustered_rate([[True] * 8] * 4)
    assert (found.low, found.high) == wilson(1.0, 4)
    z2 = 1.959964**2
    assert found.low == pytest.approx(4 / (4 + z2), abs=1e-5)


def test_pass_at_k_and_pass_hat_k_by_hand() -> None:
    outcomes = [True, True, False, False, False]
    assert pass_at_k(outcomes, 1) == pytest.approx(2 / 5)
    assert pass_at_k(outcomes, 2) == pytest.approx(1 - 3 / 10)
    assert pass_at_k(outcomes, 4) == 1.0
    assert pass_hat_k(outcomes, 1) == pytest.approx(2 / 5)
    assert pass_hat_k(outcomes, 2) == pytest.approx(1 / 10)
    assert pass_hat_k(outcomes, 3) == 0.0


def test_mean_over_scenarios_takes_those_with_enough_trials() -> None:
    found = mean_over_scenarios({"a": [True, False], "b": [True, True], "c": [True]}, 2)
    assert found == pytest.approx((1.0, 0.5))
    assert mean_over_scenarios({"a": [True]}, 2) is None


def test_the_interval_narrows_with_the_root_of_the_size() -> None:
    def width(size: int) -> float:
        low, high = wilson(0.5, size)
        return high - low

    assert width(400) / width(1600) == pytest.approx(sqrt(4), rel=0.01)
