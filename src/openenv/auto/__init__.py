"""Clients and action types by an environment's name: `AutoEnv` and `AutoAction`."""

from __future__ import annotations

from openenv.auto.auto_action import AutoAction
from openenv.auto.auto_env import AutoEnv

__all__ = ["AutoAction", "AutoEnv"]
