"""Questions and answers."""

from pydantic import BaseModel, ConfigDict, Field

from openenv.core.env_server.types import Action, Observation, State


class QuizTask(BaseModel):
    """One question of the catalogue; other programs call its level by another name."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    question: str
    level: int = Field(default=1, alias="difficulty")


class QuizAction(Action):
    """An answer; given as a bare number too."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    answer: str


class QuizObservation(Observation):
    """The question, and how the last answer was."""

    question: str
    correct: bool | None = None
    left: int = 0


class QuizState(State):
    """Which task is being played."""

    split: str | None = None
    index: int | None = None
    task: QuizTask | None = None
