"""What is only read: freebusy.query, colors.get, settings.*"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field

from calendar_env.access import Access, Role, effective_role, find_calendar
from calendar_env.colors import CALENDAR_COLORS, EVENT_COLORS, FOREGROUND
from calendar_env.event_listing import window
from calendar_env.google_errors import invalid, not_found
from calendar_env.occurrences import Occurrence, Window, exceptions_by_series, expanded, rows_on, stored
from calendar_env.rendering import etag
from calendar_env.rendering import setting as shown_setting
from calendar_env.storage.tokens import traversal
from calendar_env.times import shown, utc_text, zone
from calendar_env.tools.base import CalendarTools
from calendar_env.tools.payload import FreeBusyItem, Instant, PageSize
from openenv.tools import tool

_NOT_FOUND = {"errors": [{"domain": "global", "reason": "notFound"}]}


class LookUpTools(CalendarTools):
    """Questions that change nothing."""

    @tool(
        read_only=True,
        idempotent=True,
        example={
            "timeMin": "2026-01-06T00:00:00Z",
            "timeMax": "2026-01-07T00:00:00Z",
            "items": [{"id": "primary"}, {"id": "bob.smith@techcorp.com"}],
        },
    )
    def freebusy_query(
        self,
        timeMin: Instant,
        timeMax: Instant,
        items: Annotated[list[FreeBusyItem], Field(max_length=500, description="Calendar ids, people's or groups' e-mails")],
        timeZone: str = "UTC",
        groupExpansionMax: Annotated[int, Field(ge=1, le=100)] = 100,
        calendarExpansionMax: Annotated[int, Field(ge=1, le=50)] = 50,
    ) -> dict[str, Any]:
        """When calendars are busy, merged into intervals. Works on calendars that show you free/busy only."""
        wanted = window(timeMin, timeMax)
        low, high = bounds(wanted)
        try:
            local = zone(timeZone)
        except ValueError as error:
            raise invalid("timeZone", f"Invalid time zone: {error}", example="America/New_York") from None
        calendars: dict[str, Any] = {}
        groups: dict[str, Any] = {}
        for item in items:
            members = self.store.rows(
                "SELECT email FROM group_members JOIN users USING (user_id) WHERE group_email = ? ORDER BY email", item.id
            )
            if not members:
                calendars.setdefault(item.id, None)
            elif len(members) > groupExpansionMax:
                groups[item.id] = {"errors": [{"domain": "global", "reason": "groupTooBig"}]}
            else:
                groups[item.id] = {"calendars": [member["email"] for member in members]}
                calendars |= {member["email"]: None for member in members}
        for number, calendar_id in enumerate(calendars):
            if number >= calendarExpansionMax:
                calendars[calendar_id] = {"errors": [{"domain": "global", "reason": "tooManyCalendarsRequested"}]}
            else:
                calendars[calendar_id] = self._busy(calendar_id, wanted, local)
        answer = {"kind": "calendar#freeBusy", "timeMin": utc_text(low), "timeMax": utc_text(high)}
        return answer | ({"groups": groups} if groups else {}) | {"calendars": calendars}

    @tool(read_only=True, idempotent=True)
    def colors_get(self) -> dict[str, Any]:
        """The colours of calendars and events by colorId."""
        return {
            "kind": "calendar#colors",
            "updated": "2012-02-14T00:00:00.000Z",
            "calendar": {key: {"background": color, "foreground": FOREGROUND} for key, color in CALENDAR_COLORS.items()},
            "event": {key: {"background": color, "foreground": FOREGROUND} for key, color in EVENT_COLORS.items()},
        }

    @tool(read_only=True, idempotent=True, example={"setting": "timezone"})
    def settings_get(self, setting: str) -> dict[str, Any]:
        """Get one of your settings, e.g. timezone, weekStart, defaultEventLength."""
        row = self.store.row("SELECT * FROM settings WHERE user_id = ? AND setting_id = ?", self.user.user_id, setting)
        if row is None:
            raise not_found("setting", "setting", setting, "settings_list shows all of them.")
        return shown_setting(row)

    @tool(read_only=True, idempotent=True)
    def settings_list(
        self, maxResults: PageSize = 100, pageToken: str | None = None, syncToken: str | None = None
    ) -> dict[str, Any]:
        """List your settings."""
        which = traversal(
            f"settings/{self.user.user_id}",
            {"maxResults": maxResults},
            now=self.store.change,
            sync_token=syncToken,
            page_token=pageToken,
        )
        rows = self.store.rows("SELECT * FROM settings WHERE user_id = ? ORDER BY setting_id", self.user.user_id)
        wanted = [((row["setting_id"],), row) for row in rows if which.since is None or row["change"] > which.since]
        found, token = which.page(wanted, maxResults)
        last = max(row["change"] for row in rows)
        return {"kind": "calendar#settings", "etag": etag(last), **token, "items": [shown_setting(row) for row in found]}

    def _busy(self, calendar_id: str, wanted: Window, local: ZoneInfo) -> dict[str, Any]:
        calendar = find_calendar(self.store, self.user, calendar_id)
        role = Role.NONE if calendar is None else effective_role(self.store, self.user, calendar)
        if calendar is None or role is Role.NONE:
            return _NOT_FOUND | {"busy": []}
        access = Access(calendar, role)
        spans: list[tuple[datetime, datetime]] = []
        for start, end in sorted(self._busy_spans(access, wanted)):
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], end))
            else:
                spans.append((start, end))
        return {"busy": [{"start": shown(utc_text(start), local), "end": shown(utc_text(end), local)} for start, end in spans]}

    def _busy_spans(self, access: Access, wanted: Window) -> list[tuple[datetime, datetime]]:
        """The busy times of a calendar, cut to the window."""
        low, high = bounds(wanted)
        rows = rows_on(self.store, access.id, wanted)
        declined = self._declined(access)
        exceptions = exceptions_by_series(rows)
        local = zone(access.calendar["time_zone"])
        found: list[Occurrence] = []
        for row in rows:
            one = stored(row)
            free = (row["copy_transparency"] or row["transparency"]) == "transparent"
            if free or one.cancelled or row["event_key"] in declined:
                continue
            if row["recurrence"] is None:
                found.append(one)
            else:
                found += expanded(row, exceptions.get(row["event_key"], ()), wanted, self.store.now, local)
        spans = [one.span(local) for one in found]
        return [(max(start, low), min(end, high)) for start, end in spans if start < end and start < high and end > low]

    def _declined(self, access: Access) -> set[int]:
        """The events that the calendar's user declined."""
        if not access.calendar["is_primary"]:
            return set()
        sql = "SELECT event_key FROM attendees WHERE user_id = ? AND response_status = 'declined'"
        return {row["event_key"] for row in self.store.rows(sql, access.calendar["owner_id"])}


def bounds(wanted: Window) -> tuple[datetime, datetime]:
    """Both ends of a window that has both."""
    assert wanted.low is not None
    assert wanted.high is not None
    return wanted.low, wanted.high
