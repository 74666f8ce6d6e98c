from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from calendar_env.models import CalendarAction, CalendarObservation


@pytest.mark.parametrize(
    "written",
    [
        {"action_type": "ToolCallAction", "tool_name": "calendars_list", "arguments": {"maxResults": 2}},
        {"type": "tool_call", "tool": "calendars_list", "arguments": {"maxResults": 2}},
        {"type": "call_tool", "tool_name": "calendars_list", "arguments": {"maxResults": 2}},
    ],
)
def test_every_spelling_of_a_tool_call_is_the_same_action(written: dict[str, Any]) -> None:
    action = CalendarAction.model_validate(written)
    assert (action.action_type, action.tool_name, action.arguments) == ("ToolCallAction", "calendars_list", {"maxResults": 2})


def test_arguments_may_be_left_out() -> None:
    assert CalendarAction.model_validate({"type": "tool_call", "tool": "colors_get"}).arguments == {}
    assert CalendarAction.model_validate({"type": "tool_call", "tool": "colors_get", "arguments": None}).arguments == {}
    assert CalendarAction.model_validate({"type": "list_tools"}).action_type == "ListToolsAction"


@pytest.mark.parametrize(
    "written",
    [
        {},
        [],
        {"type": "dance"},
        {"type": ["tool_call"], "tool": "colors_get"},
        {"type": "tool_call"},
        {"action_type": "ToolCallAction"},
        {"action_type": "ToolCallAction", "tool_name": "x", "arguments": []},
        {"action_type": "ToolCallAction", "tool_name": "x", "extra": 1},
        {"type": "tool_call", "tool": "x", "tool_name": "y"},
        {"action_type": "Admin", "tool_name": "x"},
    ],
)
def test_other_shapes_are_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        CalendarAction.model_validate(written)


def test_an_observation_needs_success_and_refuses_strangers() -> None:
    with pytest.raises(ValidationError):
        CalendarObservation.model_validate({"tool_result": 1})
    with pytest.raises(ValidationError):
        CalendarObservation.model_validate({"success": True, "terminal": 1})
