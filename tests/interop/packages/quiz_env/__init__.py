"""Questions from a catalogue of tasks."""

from .client import QuizEnv
from .models import QuizAction, QuizObservation, QuizState, QuizTask

__all__ = ["QuizAction", "QuizEnv", "QuizObservation", "QuizState", "QuizTask"]
