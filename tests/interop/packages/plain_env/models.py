"""What travels between the sentence and whoever writes it."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import Field, computed_field, validator

from openenv.core.env_server.types import Action, Observation, State


class PlainAction(Action):
    """Put one word at the end."""

    word: str = Field(..., description="The next word")
    weight: float = Field(default=1.0, ge=0)
    tags: list[str] = Field(default_factory=list)

    @validator("word")
    def word_is_said(cls, value):
        value = value.strip()
        if not value:
            raise ValueError("a word has letters")
        return value

    @validator("tags", pre=True)
    def tags_may_be_one_text(cls, value):
        return [tag.strip() for tag in value.split(",")] if isinstance(value, str) else value


class PlainObservation(Observation):
    """The sentence so far. The fields of every observation have defaults of their own here."""

    sentence: str = ""
    words: list[str] = Field(default_factory=list)
    reward: bool | int | float | None = Field(default=0.0, description="What the word was worth")
    done: bool = Field(default=False, description="Whether the sentence has its full stop")
    metadata: dict[str, Any] = Field(default_factory=lambda: {"origin": "plain"})

    @validator("sentence")
    def sentence_begins_with_a_capital(cls, value):
        return value[:1].upper() + value[1:]


class PlainVerdict(PlainObservation):
    """What ends an episode: no class that the server was told of."""

    verdict: str = "finished"
    score: float = 0.0
    day: date = date(2024, 2, 29)
    took: timedelta = timedelta(seconds=90)
    price: Decimal = Decimal("1.50")
    letters: set[str] = Field(default_factory=set)
    key: UUID = UUID(int=7)
    counts: dict[int, tuple[str, int]] = Field(default_factory=dict)

    @computed_field
    @property
    def grade(self) -> str:
        return "A" if self.score > 3 else "B"


class PlainState(State):
    """Where the sentence stands."""

    language: str = "en"
    total_weight: float = 0.0
