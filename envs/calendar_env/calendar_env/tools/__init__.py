"""The tools, one module per resource of Google's API."""

from calendar_env.tools.acl import AclTools
from calendar_env.tools.base import CalendarTools
from calendar_env.tools.calendar_list import CalendarListTools
from calendar_env.tools.calendars import CalendarsTools
from calendar_env.tools.events_reading import EventReadingTools
from calendar_env.tools.events_writing import EventWritingTools
from calendar_env.tools.look_ups import LookUpTools

__all__ = ["AllCalendarTools", "CalendarTools"]


class AllCalendarTools(LookUpTools, AclTools, EventWritingTools, EventReadingTools, CalendarsTools, CalendarListTools):
    """Every tool of the Calendar Gym."""
