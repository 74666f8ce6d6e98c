"""The smallest environment: it says back what it hears."""

from echo_env.models import EchoAction, EchoObservation

__all__ = ["EchoAction", "EchoObservation"]
