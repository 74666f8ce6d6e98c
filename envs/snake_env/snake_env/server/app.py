"""The application: ``openenv serve snake``, or ``uvicorn snake_env.server.app:app``."""

from __future__ import annotations

from openenv import create_app
from snake_env.environment import SnakeEnvironment
from snake_env.models import SnakeAction, SnakeObservation, SnakeState

app = create_app(SnakeEnvironment, SnakeAction, SnakeObservation, env_name="snake", state_type=SnakeState)
