"""An answer, and what the grader says of it."""

from pydantic import Field

from openenv.core.env_server.types import Action, Observation, State


class GradedAction(Action):
    """An answer."""

    answer: str
    final: bool = False


class GradedObservation(Observation):
    """What was understood of it."""

    heard: str = ""
    length: int = 0
    flags: list[str] = Field(default_factory=list)


class GradedState(State):
    """Every criterion's last score, by its path in the rubric."""

    scores: dict[str, float | None] = Field(default_factory=dict)
    saved: dict = Field(default_factory=dict)
    log: list[str] = Field(default_factory=list)
