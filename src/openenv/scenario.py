"""A task with everything that decides whether it was solved: data that travels.

A suite is a JSON file. Its scenarios are loaded into a session by a caller with the scope ``grade``; an agent sees the
task's text and nothing else of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from openenv.errors import ValidationFailed
from openenv.verifiers import AllowedChange, ColumnPattern, VerifierSpec, parse_verifier

__all__ = ["Difficulty", "Scenario", "Suite", "ToolCall"]

Difficulty = Literal["easy", "medium", "hard"]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,79}$")]


class ToolCall(BaseModel):
    """A tool call as data."""

    model_config = ConfigDict(extra="forbid")

    tool: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    context: dict[str, str] = Field(default_factory=dict, description="Headers to act with, where not the scenario's")


class Scenario(BaseModel):
    """One task."""

    model_config = ConfigDict(extra="forbid")

    id: Identifier
    task: str = Field(description="What the agent is asked to do, in words")
    difficulty: Difficulty = "easy"
    seed: Annotated[int, Field(ge=0)] = 0
    context: dict[str, str] = Field(default_factory=dict, description="The agent's context headers: who it acts as")
    setup: Annotated[list[ToolCall], Field(max_length=200)] = Field(
        default_factory=list, description="Calls made after the reset, before the agent acts"
    )
    verifiers: Annotated[list[VerifierSpec], Field(min_length=1, max_length=100)]
    allowed_changes: Annotated[list[AllowedChange], Field(max_length=200)] | None = Field(
        default=None, description="The only changes to the database that are allowed; null allows all, [] none"
    )
    ignored_changes: Annotated[list[ColumnPattern], Field(max_length=200)] = Field(
        default_factory=list, description="Book-keeping that never counts as a change: table.column, * as wild card"
    )
    max_steps: Annotated[int, Field(ge=1, le=1000)] = 30

    pair: Identifier | None = Field(default=None, description="Names the twin scenarios that ask for the same")
    phrasing: Literal["explicit", "natural"] | None = Field(
        default=None, description="Whether the task names its objects by id or describes them"
    )
    solution: Annotated[list[ToolCall], Field(max_length=200)] = Field(default_factory=list, description="What the oracle does")
    response: str | None = Field(default=None, description="What the oracle answers")
    mentions: dict[str, str] = Field(
        default_factory=dict, description="How the task words each identifier that the solution uses"
    )

    @field_validator("verifiers")
    @classmethod
    def _decidable(cls, verifiers: list[VerifierSpec]) -> list[VerifierSpec]:
        for index, spec in enumerate(verifiers):
            try:
                parse_verifier(spec)
            except ValidationFailed as error:
                where = f"{index}.{error.field}" if error.field else str(index)
                raise ValueError(f"{where}: {error.message}. {error.hint or ''}".rstrip()) from None
        return verifiers

    def for_server(self) -> Scenario:
        """The scenario without what only agents and reports use: the answer never leaves the evaluator."""
        return self.model_copy(update={"solution": [], "response": None, "mentions": {}})


class Suite(BaseModel):
    """Scenarios of one environment."""

    model_config = ConfigDict(extra="forbid")

    name: Identifier
    environment: str
    description: str = ""
    ignored_changes: Annotated[list[ColumnPattern], Field(max_length=200)] = Field(
        default_factory=list, description="Added to every scenario's own"
    )
    directory: list[ToolCall] = Field(
        default_factory=list, description="Read-only calls whose answers list the identifiers of the world"
    )
    scenarios: Annotated[list[Scenario], Field(min_length=1)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        seen: set[str] = set()
        for scenario in self.scenarios:
            if scenario.id in seen:
                raise ValueError(f"two scenarios have the id {scenario.id!r}")
            seen.add(scenario.id)
            # A scenario that was validated before has them already.
            own = [pattern for pattern in scenario.ignored_changes if pattern not in self.ignored_changes]
            if len(self.ignored_changes) + len(own) > 200:
                raise ValueError(f"the scenario {scenario.id!r} has more than 200 ignored_changes, the suite's included")
            scenario.ignored_changes = [*self.ignored_changes, *own]
        return self
