"""Calendar management: the overview's models, and an environment of two tools to serve them."""

# ruff: noqa: UP006, UP035, UP045 (the spelling of the overview is what its readers copy)

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional

from pydantic import Field

from openenv import Action, Environment, Observation, State, create_app


class CalendarAction(Action):
    action_type: Literal["ListToolsAction", "ToolCallAction"]
    tool_name: Optional[str] = Field(None, description="MCP tool name")
    arguments: Dict[str, Any] = Field(default_factory=dict)


class CalendarObservation(Observation):
    success: bool
    tools_list: Optional[List[Dict[str, Any]]] = None
    tool_result: Optional[Any] = None
    error_message: Optional[str] = None


class Agenda(Environment[CalendarAction, CalendarObservation, State]):
    """A list of titles."""

    def __init__(self) -> None:
        super().__init__()
        self.titles: list[str] = []

    def reset(self) -> CalendarObservation:
        self.titles = []
        return CalendarObservation(success=True)

    def step(self, action: CalendarAction) -> CalendarObservation:
        if action.action_type == "ListToolsAction":
            return CalendarObservation(success=True, tools_list=[{"name": "events_insert"}, {"name": "events_list"}])
        if action.tool_name == "events_insert":
            self.titles.append(action.arguments["summary"])
        elif action.tool_name != "events_list":
            return CalendarObservation(success=False, error_message=f"no tool {action.tool_name}")
        return CalendarObservation(success=True, tool_result={"items": self.titles})

    @property
    def state(self) -> State:
        return State()


app = create_app(Agenda, CalendarAction, CalendarObservation, env_name="agenda")
