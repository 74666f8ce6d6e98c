"""Tools: found on a class, called with whatever an agent sends."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from openenv import Action, Context, Observation, State, ToolEnvironment, tool
from openenv.errors import ConfigurationError, ExecutionFailed, InvalidArguments, ToolFailed, ToolNotFound
from openenv.operation import Principal, RequestContext
from openenv.types import CallToolAction, CallToolObservation, ListToolsAction, ListToolsObservation

CONTEXT = Context(RequestContext(headers={"x-user": "anna"}), Principal("anna"))


class Place(BaseModel):
    name: str
    floor: int = 0


class Desk(ToolEnvironment[Action, Observation, State]):
    def __init__(self) -> None:
        self.opened: list[int] = []

    def reset(self) -> Observation:
        return Observation()

    @tool(read_only=True, aliases=["look_in"])
    def drawer_look(self, number: Annotated[int, Field(ge=1, le=3)], place: Place | None = None) -> dict[str, Any]:
        """See what is in a drawer."""
        return {"number": number, "place": place.name if place else None, "is_place": isinstance(place, Place)}

    @tool(name="drawer_pull", destructive=True, idempotent=True, example={"numbers": [1]})
    def pull(self, numbers: list[int], *, hard: bool = False) -> int:
        """Open drawers."""
        self.opened += numbers
        return len(numbers) + (100 if hard else 0)

    @tool()
    def both(self, number: int, context: Context) -> Any:
        """Pull and look, by name and as a method."""
        outcome = self.call_tool("look_in", {"number": number}, context)
        if outcome.error is not None:
            raise outcome.error
        return [self.pull([number]), outcome.value, context.header("x-user"), context.principal.id if context.principal else None]

    @tool()
    def anything(self, context: Context, **fields: Any) -> dict[str, Any]:
        """Take whatever comes."""
        return fields | {"mine": context is CONTEXT}

    @tool()
    def refuse(self) -> None:
        """Say no."""
        raise ToolFailed("not today", code="CLOSED", field="day", hint="Come tomorrow.")

    @tool()
    def fail(self) -> None:
        """Break."""
        raise ZeroDivisionError("one by zero")

    def hidden(self) -> None:
        """Not a tool."""


def call(name: str, arguments: dict[str, Any] | None = None, desk: Desk | None = None) -> Any:
    return Desk.tools.call(desk or Desk(), name, arguments or {}, CONTEXT)


def test_tools_are_listed_in_the_order_of_writing_without_aliases() -> None:
    assert [one.name for one in Desk.tools] == ["drawer_look", "drawer_pull", "both", "anything", "refuse", "fail"]
    assert len(Desk.tools) == 6
    assert Desk.tools.find("look_in") is Desk.tools.find("drawer_look")
    assert Desk.tools.find("hidden") is None
    assert Desk.tools.find("pull") is None


def test_marks() -> None:
    listings = {one.name: one.listing() for one in Desk.tools}
    assert (listings["drawer_look"].read_only, listings["drawer_look"].destructive) == (True, False)
    pull = listings["drawer_pull"]
    assert (pull.read_only, pull.destructive, pull.idempotent) == (False, True, True)


def test_arguments_come_as_their_types_and_defaults_stay_the_methods() -> None:
    assert call("drawer_look", {"number": 2}).value == {"number": 2, "place": None, "is_place": False}
    outcome = call("drawer_look", {"number": 2, "place": {"name": "hall"}})
    assert outcome.value == {"number": 2, "place": "hall", "is_place": True}
    assert outcome.read_only
    assert call("drawer_pull", {"numbers": [1, 2], "hard": True}).value == 102


def test_an_alias_calls_the_tool_under_its_own_name() -> None:
    outcome = call("look_in", {"number": 1})
    assert (outcome.name, outcome.error) == ("drawer_look", None)


def test_tools_call_tools_by_name_and_as_methods() -> None:
    desk = Desk()
    assert call("both", {"number": 3}, desk).value == [1, {"number": 3, "place": None, "is_place": False}, "anna", "anna"]
    assert desk.opened == [3]
    outcome = call("both", {"number": 9}, desk)
    assert isinstance(outcome.error, InvalidArguments)
    assert desk.opened == [3]


@pytest.mark.parametrize("arguments", [{"context": "mine"}, {"context": None}, {"context": {"request": {}}}])
def test_a_context_cannot_be_sent(arguments: dict[str, Any]) -> None:
    assert call("anything", arguments).value == {"mine": True}
    outcome = call("both", {"number": 1} | arguments)
    assert isinstance(outcome.error, InvalidArguments)
    assert outcome.error.field == "context"


@pytest.mark.parametrize(
    ("name", "arguments", "field", "said"),
    [
        ("drawer_look", {}, "number", "needs the argument 'number'"),
        ("drawer_look", {"number": 9}, "number", "less than or equal to 3"),
        ("drawer_look", {"number": "two"}, "number", "valid integer"),
        ("drawer_look", {"number": None}, "number", "valid integer"),
        ("drawer_look", {"number": 1, "nummer": 2}, "nummer", "has no argument 'nummer'"),
        ("drawer_look", {"number": 1, "place": {"floor": 1}}, "place.name", "needs the argument 'place.name'"),
        ("drawer_pull", {"numbers": [1, "x"]}, "numbers.1", "valid integer"),
        ("drawer_pull", {"numbers": [1], "self": 1}, "self", "has no argument 'self'"),
        ("refuse", {"a": 1}, "a", "has no argument 'a'"),
    ],
)
def test_wrong_arguments_name_the_field_and_give_an_example_that_fits(
    name: str, arguments: dict[str, Any], field: str, said: str
) -> None:
    desk = Desk()
    error = call(name, arguments, desk).error
    assert isinstance(error, InvalidArguments)
    assert error.code == "INVALID_ARGUMENTS"
    assert error.field == field
    assert said in error.message
    assert name in error.message
    assert error.hint
    assert error.errors
    assert Desk.tools.get(name).arguments.validate(error.example) is not None
    assert not desk.opened


def test_an_unknown_tool_names_close_ones() -> None:
    error = call("drawer_pul").error
    assert isinstance(error, ToolNotFound)
    assert error.message == "Unknown tool: 'drawer_pul'"
    assert "drawer_pull" in (error.hint or "")
    far = call("zzz").error
    assert "List the tools" in (far.hint or "")


def test_an_endless_name_is_neither_compared_nor_said_back() -> None:
    error = call("drawer_pull" * 1_000_000).error
    assert isinstance(error, ToolNotFound)
    assert len(error.message) < 200


@pytest.mark.parametrize("name", ["", "__init__", "__class__", "reset", "close", "hidden", "tools", "\x00", "ü", "drawer_look "])
def test_no_other_method_can_be_called(name: str) -> None:
    assert isinstance(call(name).error, ToolNotFound)


def test_a_tool_that_says_no_keeps_its_words() -> None:
    error = call("refuse").error
    assert (error.code, error.message, error.field, error.hint) == ("CLOSED", "not today", "day", "Come tomorrow.")


def test_what_nobody_meant_is_an_execution_error_with_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "openenv.tools"):
        error = call("fail").error
    assert isinstance(error, ExecutionFailed)
    assert error.message == "Error calling tool 'fail': one by zero"
    assert "ZeroDivisionError" in caplog.text
    assert "Traceback" not in error.message


def test_self_cannot_be_sent_to_a_tool_that_takes_anything() -> None:
    outcome = call("anything", {"self": 1, "numbers": [1]})
    assert outcome.error is not None or outcome.value["mine"] is True


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))
names = st.sampled_from(["number", "numbers", "place", "hard", "context", "self", "fields", "name"]) | st.text(max_size=8)
tools = st.sampled_from([*(one.name for one in Desk.tools), "look_in", "nothing"]) | st.text(max_size=8)


@given(name=tools, arguments=st.dictionaries(names, values, max_size=4))
def test_nothing_that_is_sent_raises(name: str, arguments: dict[str, Any]) -> None:
    desk = Desk()
    outcome = call(name, arguments, desk)
    assert outcome.error is None or outcome.value is None
    seen = desk.observe(outcome)
    assert isinstance(seen, CallToolObservation)
    assert (seen.error is None) == (outcome.error is None)


def test_as_steps() -> None:
    desk = Desk()
    listed = desk.step(ListToolsAction(), CONTEXT)
    assert isinstance(listed, ListToolsObservation)
    assert [one.name for one in listed.tools] == [one.name for one in Desk.tools]
    kinds = {
        "execution_error": CallToolAction(tool_name="fail"),
        "tool_not_found": CallToolAction(tool_name="nothing"),
        "invalid_args": CallToolAction(tool_name="drawer_look"),
    }
    for kind, action in kinds.items():
        seen = desk.step(action, CONTEXT)
        assert isinstance(seen, CallToolObservation)
        assert seen.error is not None
        assert seen.error.error_type == kind
        outcome = desk.outcome_of(action, seen)
        assert outcome is not None
        assert outcome.error is not None


@pytest.mark.parametrize("name", ["reset", "step", "state", "close"])
def test_reserved_names(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        tool(name=name)(lambda self: None)
    with pytest.raises(ConfigurationError, match=name):
        tool(aliases=[name])(lambda self: None)


def test_two_tools_of_one_name() -> None:
    with pytest.raises(ConfigurationError, match="two tools named 'a'"):

        class Twice(ToolEnvironment[Action, Observation, State]):
            @tool(name="a")
            def one(self) -> None: ...

            @tool(name="b", aliases=["a"])
            def two(self) -> None: ...


def test_a_parameter_without_a_hint() -> None:
    with pytest.raises(ConfigurationError, match="'number' has no type hint"):

        class Unhinted(ToolEnvironment[Action, Observation, State]):
            @tool()
            def one(self, number) -> None:  # type: ignore[no-untyped-def]
                ...


def test_a_subclass_inherits_adds_and_overrides() -> None:
    class Better(Desk):
        @tool()
        def fail(self) -> str:  # type: ignore[override]
            """Work."""
            return "works"

        @tool()
        def more(self) -> None:
            """More."""

    assert [one.name for one in Better.tools][-1] == "more"
    assert len(Better.tools) == 7
    assert Better.tools.call(Better(), "fail", {}, CONTEXT).value == "works"
    assert isinstance(Desk.tools.call(Desk(), "fail", {}, CONTEXT).error, ExecutionFailed)


def test_what_a_tool_returns_becomes_json() -> None:
    class Odd(Desk):
        @tool()
        def place(self) -> Place:
            """A model."""
            return Place(name="hall")

    odd = Odd()
    seen = odd.observe(odd.call_tool("place", {}, CONTEXT))
    assert isinstance(seen, CallToolObservation)
    assert seen.result == {"name": "hall", "floor": 0}
