"""What every group of tools stands on: the world's store and the user who calls."""

from __future__ import annotations

from calendar_env.access import Access, Role, reach, require
from calendar_env.models import CalendarAction, CalendarObservation, CalendarState
from calendar_env.storage.store import Store, User
from openenv.tools import ToolEnvironment


class CalendarTools(ToolEnvironment[CalendarAction, CalendarObservation, CalendarState]):
    """A group of tools. The environment authenticates the caller before it calls one."""

    store: Store
    user: User
    """Who makes the running call."""

    def reach(self, calendar_id: str) -> Access:
        """The calendar, when the caller has any access to it."""
        return reach(self.store, self.user, calendar_id)

    def reach_named(self, calendar_id: str, field: str) -> Access:
        """`reach`, for an argument of another name."""
        return reach(self.store, self.user, calendar_id, field=field)

    def require(self, calendar_id: str, least: Role, *, field: str = "calendarId") -> Access:
        """The calendar, when the caller has at least this role on it."""
        return require(self.store, self.user, calendar_id, least, field=field)

    def email_of(self, user_id: str) -> str:
        """The e-mail address of an account."""
        email: str = self.store.value("SELECT email FROM users WHERE user_id = ?", user_id)
        return email
