"""The Calendar Gym's models under the names that its clients use."""

from __future__ import annotations

from calendar_env.models import CalendarAction, CalendarObservation, CalendarState

__all__ = ["Action", "MCPAction", "MCPObservation", "MCPState"]

MCPAction = CalendarAction
MCPObservation = CalendarObservation
MCPState = CalendarState
Action = MCPAction
