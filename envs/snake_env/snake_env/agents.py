"""Agents for ``openenv eval snake``, which gives them tools alone."""

from __future__ import annotations

from openenv.evaluation import Task, ToolAccess
from snake_env.models import SnakeObservation
from snake_env.oracle import decide

__all__ = ["oracle"]


async def oracle(task: Task, env: ToolAccess) -> None:
    """Play as `snake_env.oracle.decide` says, as long as there are steps: ``--agent snake_env.agents:oracle``."""
    told = await env.call("look", {})
    for _ in range(task.max_steps - 1):
        if told["stop_reason"] is not None:
            return
        told = await env.call("move", {"direction": decide(SnakeObservation.model_validate(told))})
