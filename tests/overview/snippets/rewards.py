"""Reward functions of one's own, over the Calendar's observations, and the Calendar with one of them."""

# ruff: noqa: UP006, UP035 (the spelling of the overview is what its readers copy)

from __future__ import annotations

from typing import Any, Dict

from calendar_env.rewards import query_acl_count
from calendar_env.server.app import create_calendar_app
from openenv_wrapper.data_models import MCPObservation


def calculate_reward(observation: MCPObservation) -> float:
    """Calculate reward based on observation."""
    reward = 0.0

    # Success/failure
    if observation.success:
        reward += 1.0
    else:
        reward -= 0.5

    # Efficiency (fewer steps = better)
    if observation.step_count < 5:
        reward += 0.2

    # Tool usage (prefer specific tools over generic)
    if observation.tool_used in ["acl_patch", "events_update"]:
        reward += 0.1  # Prefer targeted modifications
    elif observation.tool_used in ["acl_insert", "events_insert"]:
        reward -= 0.1  # Penalize creating new entities unnecessarily

    return reward


def minimal_acl_changes_reward(observation: MCPObservation, initial_state: Dict[str, Any]) -> float:
    if observation.tool_used.startswith("acl_"):
        # Count ACL modifications
        current_acls = query_acl_count()
        initial_acls = initial_state["acl_count"]

        # Penalize creating new ACLs
        if current_acls > initial_acls:
            return -0.5

        # Reward modifying existing ACLs
        return 0.5

    return 0.0


app = create_calendar_app(reward=minimal_acl_changes_reward)
