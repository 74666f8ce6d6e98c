from __future__ import annotations

import pytest

from calendar_env.models import CalendarObservation
from calendar_env.rewards import calculate_reward, initial_state, query_acl_count
from calendar_env.testing import LocalGym
from openenv.errors import ConfigurationError


@pytest.mark.parametrize(
    ("success", "step_count", "tool_used", "expected"),
    [
        (True, 1, "events_list", 1.2),
        (True, 5, "events_list", 1.0),
        (True, 5, "acl_patch", 1.1),
        (True, 5, "events_update", 1.1),
        (True, 4, "acl_insert", 1.1),
        (True, 9, "events_insert", 0.9),
        (False, 1, "events_list", -0.3),
        (False, 9, "acl_insert", -0.6),
    ],
)
def test_the_built_in_reward(success: bool, step_count: int, tool_used: str, expected: float) -> None:
    seen = CalendarObservation(success=success, step_count=step_count, tool_used=tool_used)
    assert calculate_reward(seen) == expected


def test_the_world_can_be_asked_inside_a_reward_function_only(gym: LocalGym) -> None:
    with pytest.raises(ConfigurationError):
        query_acl_count()


def test_the_initial_state_counts_what_there_is(gym: LocalGym) -> None:
    counts = initial_state(gym.environment.store)
    assert counts["calendar_count"] == 11
    assert counts["acl_count"] == gym.rows("SELECT count(*) FROM acls")[0][0]
    assert counts["event_count"] > 30
