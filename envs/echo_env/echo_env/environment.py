"""The environment itself."""

from __future__ import annotations

from echo_env.models import EchoAction, EchoObservation
from openenv import Environment, State


class EchoEnvironment(Environment[EchoAction, EchoObservation, State]):
    """Says back what it hears."""

    execution = "inline"

    def reset(self, *, seed: int | None = None) -> EchoObservation:
        """Begin with silence."""
        return EchoObservation(echoed="", length=0)

    def step(self, action: EchoAction) -> EchoObservation:
        """Say the message back; a longer one is worth more, up to 1."""
        length = len(action.message)
        return EchoObservation(echoed=action.message, length=length, reward=min(0.1 * length, 1.0))
