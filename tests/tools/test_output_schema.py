"""Output schemas of tools: where an environment asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from openenv import Action, Observation, State, ToolEnvironment, tool
from openenv.errors import ConfigurationError
from openenv.tools import ToolRegistry
from openenv.tools.arguments import is_wrapped
from openenv.types import ToolResult


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Pair(TypedDict):
    left: int
    right: int


class Shapes(ToolEnvironment[Action, Observation, State]):
    """Returns this and that."""

    def reset(self) -> Observation:
        return Observation()

    @tool(output_schema=True)
    def number(self) -> int:
        """A number."""
        return 1

    @tool(output_schema=True)
    def pair(self) -> Pair:
        """Two numbers."""
        return {"left": 1, "right": 2}

    @tool(output_schema=True)
    def maybe(self) -> Pair | None:
        """Two numbers or none."""
        return None

    @tool(output_schema=True)
    def tree(self) -> list[Tree]:
        """Trees of trees."""
        return []

    @tool(output_schema={"type": "object", "properties": {"seen": {"type": "boolean"}}})
    def by_hand(self) -> ToolResult:
        """More than a value."""
        return ToolResult([], {"seen": True})

    @tool()
    def plain(self) -> int:
        """Nothing is said of it."""
        return 1


def schema(name: str) -> dict[str, Any] | None:
    return Shapes.tools.get(name).listing().output_schema


def test_an_objects_schema_is_its_own() -> None:
    found = schema("pair")
    assert found is not None
    assert (found["type"], found["required"], is_wrapped(found)) == ("object", ["left", "right"], False)


@pytest.mark.parametrize(("name", "inner"), [("number", {"type": "integer"}), ("maybe", None), ("tree", None)])
def test_anything_else_is_the_result_of_an_object(name: str, inner: dict[str, Any] | None) -> None:
    found = schema(name)
    assert found is not None
    assert (found["type"], found["required"], is_wrapped(found)) == ("object", ["result"], True)
    if inner is not None:
        assert found["properties"] == {"result": inner}


def test_definitions_stay_where_references_find_them() -> None:
    found = schema("tree")
    assert found is not None
    assert found["properties"]["result"]["items"] == {"$ref": "#/$defs/Tree"}
    assert "Tree" in found["$defs"]


def test_a_schema_may_be_given_and_most_tools_have_none() -> None:
    assert schema("by_hand") == {"type": "object", "properties": {"seen": {"type": "boolean"}}}
    assert schema("plain") is None


def _with(returns: Any, **options: Any) -> Callable[[], ToolRegistry]:
    def method(self: Any) -> Any: ...

    method.__annotations__ = {"return": returns} if returns is not ... else {}
    marked = tool(name="odd", output_schema=True, **options)(method) if not options else tool(name="odd", **options)(method)
    return lambda: ToolRegistry.of(type("Odd", (), {"odd": marked}))


@pytest.mark.parametrize("returns", [..., None, Any, ToolResult, object()])
def test_what_says_nothing_is_refused(returns: Any) -> None:
    with pytest.raises((ConfigurationError, TypeError)):
        _with(returns)()


def test_a_given_schema_is_of_an_object() -> None:
    with pytest.raises(ConfigurationError, match="of an object"):
        _with(int, output_schema={"type": "array"})()
