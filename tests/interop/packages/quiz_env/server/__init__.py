"""The quiz's server."""

from .quiz_environment import QuizEnvironment

__all__ = ["QuizEnvironment"]
