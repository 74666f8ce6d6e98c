"""Builds a sentence word by word."""

from .client import PlainEnv
from .models import PlainAction, PlainObservation, PlainState

__all__ = ["PlainAction", "PlainEnv", "PlainObservation", "PlainState"]
