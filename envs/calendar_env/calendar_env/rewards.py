"""Reward functions of a step. A scenario's own outcome reward takes their place while one is loaded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from calendar_env.models import CalendarObservation
from calendar_env.storage.store import Store
from openenv.errors import ConfigurationError

RewardFunction = Callable[[CalendarObservation], float] | Callable[[CalendarObservation, dict[str, Any]], float]
"""A reward from the observation alone, or also from the state in which the episode began (see `initial_state`)."""

_TARGETED = ("acl_patch", "events_update")
_CREATING = ("acl_insert", "events_insert")
_world: ContextVar[Store | None] = ContextVar("calendar_env_world", default=None)


def calculate_reward(observation: CalendarObservation) -> float:
    """The built-in reward: success, few steps, and targeted changes rather than new things."""
    reward = 1.0 if observation.success else -0.5
    if observation.step_count < 5:
        reward += 0.2
    if observation.tool_used in _TARGETED:
        reward += 0.1
    elif observation.tool_used in _CREATING:
        reward -= 0.1
    return round(reward, 10)


def minimal_acl_changes_reward(observation: CalendarObservation, initial_state: Mapping[str, Any]) -> float:
    """Rewards work on existing access rules, and punishes new ones."""
    if not observation.tool_used.startswith("acl_"):
        return 0.0
    return -0.5 if query_acl_count() > initial_state["acl_count"] else 0.5


def query_acl_count() -> int:
    """How many access rules the world has now, deleted ones apart. Works inside a reward function only."""
    store = _world.get()
    if store is None:
        raise ConfigurationError(
            "query_acl_count() has no world to ask", hint="Call it from a reward function that the environment calls."
        )
    return _acl_count(store)


def initial_state(store: Store) -> dict[str, Any]:
    """What a reward function may compare with: counts of what there is."""
    return {
        "acl_count": _acl_count(store),
        "event_count": store.value("SELECT count(*) FROM events WHERE status <> 'cancelled'"),
        "calendar_count": store.value("SELECT count(*) FROM calendars WHERE NOT deleted"),
        "now": store.now,
    }


def bound(reward: RewardFunction) -> Callable[[Store, CalendarObservation, dict[str, Any]], float]:
    """A reward function of either kind, to be called with the world that it may ask about."""
    takes_initial_state = len(inspect.signature(reward).parameters) > 1

    def call(store: Store, observation: CalendarObservation, initial: dict[str, Any]) -> float:
        with _asking(store):
            given: tuple[Any, ...] = (observation, initial) if takes_initial_state else (observation,)
            return float(reward(*given))

    return call


@contextmanager
def _asking(store: Store) -> Iterator[None]:
    token = _world.set(store)
    try:
        yield
    finally:
        _world.reset(token)


def _acl_count(store: Store) -> int:
    count: int = store.value("SELECT count(*) FROM acls WHERE role <> 'none'")
    return count
