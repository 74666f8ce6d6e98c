"""Snake for one player."""

from snake_env.models import SnakeAction, SnakeObservation, SnakeState

__all__ = ["SnakeAction", "SnakeObservation", "SnakeState"]
