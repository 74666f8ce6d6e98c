"""What goes in and out of the Calendar Gym. Clients import this module; it knows nothing of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from openenv.types import Action, Observation, State

__all__ = ["CalendarAction", "CalendarObservation", "CalendarState"]

_KINDS = {"tool_call": "ToolCallAction", "call_tool": "ToolCallAction", "list_tools": "ListToolsAction"}


class CalendarAction(Action):
    """List the tools, or call one.

    OpenEnv's ``{"type": "call_tool", "tool_name": …}`` and ``{"type": "list_tools"}``, and the short
    ``{"type": "tool_call", "tool": …}``, are taken too.
    """

    action_type: Literal["ListToolsAction", "ToolCallAction"] = Field(description="List the tools, or call one")
    tool_name: str | None = Field(default=None, description="The tool to call")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its arguments by name")

    @model_validator(mode="before")
    @classmethod
    def _other_spellings(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or "type" not in given or "action_type" in given:
            return given
        action = dict(given)
        kind = action.pop("type")
        known = _KINDS.get(kind) if isinstance(kind, str) else None
        if known is None:
            raise ValueError(f"type must be one of {sorted(_KINDS)}, got {str(kind)[:60]!r}")
        action["action_type"] = known
        if "tool" in action and "tool_name" not in action:
            action["tool_name"] = action.pop("tool")
        if action.get("arguments", ...) is None:
            del action["arguments"]
        return action

    @model_validator(mode="after")
    def _names_a_tool(self) -> CalendarAction:
        if self.action_type == "ToolCallAction" and not self.tool_name:
            raise ValueError("a ToolCallAction needs tool_name; list the tools to see their names")
        return self


class CalendarObservation(Observation):
    """What came of a step."""

    success: bool = Field(description="Whether the step did what it was asked")
    tools_list: list[dict[str, Any]] | None = Field(default=None, description="The tools, when they were asked for")
    tool_result: Any = Field(default=None, description="What the tool answered: a resource of Google's, or nothing")
    error_message: str | None = Field(default=None, description="Why it failed, in words")
    error: dict[str, Any] | None = Field(
        default=None, description="Why it failed: code, message, field, hint, example; google is Google's own envelope"
    )
    tool_used: str = Field(default="", description="The tool that was called, empty when none was")
    step_count: int = Field(default=0, description="Steps of this episode, this one included")


class CalendarState(State):
    """Where an episode stands."""

    database_id: str | None = Field(default=None, description="The shared database, where the world is one")
    current_time: str | None = Field(default=None, description="The episode's clock, UTC")
