"""What verifiers read and return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from openenv.operation import Episode

JsonScalar = str | int | float | bool | None

ColumnPattern = Annotated[str, Field(min_length=3, max_length=200, pattern=r"^.+\..+$")]
"""``table.column``, where ``*`` stands for anything."""


@dataclass(slots=True)
class Evidence:
    """All that a verdict rests on."""

    episode: Episode
    initial: bytes | None = None
    """The world's SQLite database when the episode began, as `sqlite3.Connection.serialize` gives it."""
    final: bytes | None = None


class VerifierSpec(BaseModel):
    """A verifier as JSON: ``{"verifier_type": …, "name"?, "description"?, "validation_config": {…}}``."""

    model_config = ConfigDict(extra="forbid")

    verifier_type: str
    name: str | None = None
    description: str | None = None
    validation_config: dict[str, Any] = Field(default_factory=dict)


class AllowedChange(BaseModel):
    """A change to the database that a task may make; every other one is collateral damage."""

    model_config = ConfigDict(extra="forbid")

    table: str
    kinds: list[Literal["insert", "update", "delete"]] = Field(default=["insert", "update", "delete"])
    where: dict[str, JsonScalar | list[JsonScalar]] = Field(
        default_factory=dict, description="Values the row must have (after the change; before it, for a delete)"
    )
    columns: list[str] | None = Field(default=None, description="The only columns that an update may change")
    max_rows: Annotated[int, Field(ge=0)] | None = Field(default=None, description="How many rows at the most")


@dataclass(slots=True)
class Verdict:
    """What a verifier found."""

    name: str
    verifier_type: str
    passed: bool
    message: str = ""
    """In words: what was expected and what was there."""
    expected: Any = None
    actual: Any = None
    error: dict[str, Any] | None = None
    """The body of the error that kept the verifier from deciding (a refused query); then ``passed`` is false."""
    details: dict[str, Any] = field(default_factory=dict)
