"""The Calendar Gym: Google Calendar's API v3 as a world for agents, with users, permissions and a frozen clock."""

from calendar_env.models import CalendarAction, CalendarObservation, CalendarState

__all__ = ["CalendarAction", "CalendarObservation", "CalendarState"]
__version__ = "0.1.0"
