"""Signatures of JSON Schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from openenv.cli.signatures import action_signatures, signature
from openenv.types import Action, ToolAction, tool_actions


class Leaf(BaseModel):
    value: int
    leaves: list[Leaf] = []


class Grow(Action):
    leaf: Leaf
    many: list[Leaf | None] = []
    height: Annotated[int, Field(ge=1)] = 1
    kind: Literal["oak", "elm"] | None = None
    anything: Any = None


def test_kinds_of_arguments() -> None:
    assert action_signatures(TypeAdapter(Grow).json_schema()) == [
        "Grow(leaf: Leaf, many?: array of Leaf | null, height?: integer 1…, kind?: 'oak' | 'elm' | null, anything?: any)"
    ]


def test_tool_actions_stand_for_tools() -> None:
    assert action_signatures(TypeAdapter(ToolAction).json_schema()) == []
    assert action_signatures(TypeAdapter(tool_actions(Grow)).json_schema())[0].startswith("Grow(leaf: Leaf, ")
    assert len(action_signatures(TypeAdapter(tool_actions(Grow)).json_schema())) == 1


def test_schemas_that_say_little_or_nonsense() -> None:
    assert signature("f", {}) == "f()"
    assert action_signatures({}) == []
    endless = {"properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"anyOf": [{"$ref": "#/$defs/X"}, {"type": "null"}]}}}
    assert signature("f", endless).startswith("f(x?: ")
    assert signature("f", {"properties": {"x": True, "y": {"type": ["string", "null"]}}}) == "f(x?: any, y?: string | null)"
