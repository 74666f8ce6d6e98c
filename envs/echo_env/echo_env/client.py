"""A client that knows the echo's types."""

from __future__ import annotations

from echo_env.models import EchoAction, EchoObservation
from openenv import EnvClient, State


class EchoEnv(EnvClient[EchoAction, EchoObservation, State]):
    """``with EchoEnv("ws://localhost:8000") as client: client.step(EchoAction(message="hello"))``."""

    observation_type = EchoObservation
    state_type = State
