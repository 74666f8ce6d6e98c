"""The application: ``openenv serve echo``, or ``uvicorn echo_env.server.app:app``."""

from __future__ import annotations

from echo_env.environment import EchoEnvironment
from echo_env.models import EchoAction, EchoObservation
from openenv import create_app

app = create_app(EchoEnvironment, EchoAction, EchoObservation, env_name="echo")
