"""The echo environment without any middleware."""

from __future__ import annotations

from echo_env.environment import EchoEnvironment
from openenv import create_app

app = create_app(EchoEnvironment, env_name="echo", log=False, metrics=False)
