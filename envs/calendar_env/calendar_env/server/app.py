"""The Calendar Gym as an ASGI application: ``uvicorn calendar_env.server.app:app``."""

from __future__ import annotations

import functools
import os
from typing import Any

from calendar_env.environment import CalendarEnvironment
from calendar_env.models import CalendarAction, CalendarObservation, CalendarState
from calendar_env.rewards import RewardFunction, calculate_reward
from openenv.server import create_app


def create_calendar_app(
    *,
    reward: RewardFunction = calculate_reward,
    data_directory: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Any:
    """An application with a reward function and a folder of your own.

    Args:
        reward: The reward of a step; see `calendar_env.rewards`.
        data_directory: Where named databases are kept.
        options: What `openenv.server.create_app` takes besides: middleware, limits.
    """
    factory = functools.partial(CalendarEnvironment, reward=reward, data_directory=data_directory)
    return create_app(factory, CalendarAction, CalendarObservation, env_name="calendar", state_type=CalendarState, **options)


app = create_calendar_app()
