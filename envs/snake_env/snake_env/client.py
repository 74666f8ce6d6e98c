"""A client that knows the snake's types."""

from __future__ import annotations

from openenv import EnvClient
from snake_env.models import SnakeAction, SnakeObservation, SnakeState


class SnakeEnv(EnvClient[SnakeAction, SnakeObservation, SnakeState]):
    """``with SnakeEnv("ws://localhost:8000") as client: client.step(SnakeAction(direction="up"))``."""

    observation_type = SnakeObservation
    state_type = SnakeState
