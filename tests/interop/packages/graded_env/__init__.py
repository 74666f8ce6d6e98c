"""Short answers, graded by rubrics."""

from .client import GradedEnv
from .models import GradedAction, GradedObservation, GradedState

__all__ = ["GradedAction", "GradedEnv", "GradedObservation", "GradedState"]
