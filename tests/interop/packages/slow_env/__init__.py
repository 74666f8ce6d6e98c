"""Work that waits for others."""

from .client import SlowEnv
from .models import SlowAction, SlowObservation

__all__ = ["SlowAction", "SlowEnv", "SlowObservation"]
