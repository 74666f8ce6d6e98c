"""Calendars themselves: calendars.*"""

from __future__ import annotations

import json
from typing import Annotated, Any, Unpack

from pydantic import Field

from calendar_env.access import Access, Role
from calendar_env.colors import CALENDAR_COLORS, FOREGROUND
from calendar_env.event_changes import EventWriter
from calendar_env.google_errors import Invalid, denied, invalid
from calendar_env.rendering import calendar
from calendar_env.times import zone
from calendar_env.tools.base import CalendarTools
from calendar_env.tools.payload import CalendarFields, CalendarId
from openenv.tools import tool

Summary = Annotated[str, Field(min_length=1, max_length=255)]
_COLUMNS = {"summary": "summary", "description": "description", "location": "location", "timeZone": "time_zone"}


class CalendarsTools(CalendarTools):
    """Calendars and their metadata."""

    @tool(read_only=True, idempotent=True)
    def calendars_get(self, calendarId: CalendarId) -> dict[str, Any]:
        """Get a calendar's metadata: summary, time zone, owner."""
        return self._shown_calendar(self.require(calendarId, Role.READER))

    @tool(example={"summary": "Hiring", "timeZone": "America/New_York"})
    def calendars_insert(self, summary: Summary, **fields: Unpack[CalendarFields]) -> dict[str, Any]:
        """Create a secondary calendar; you become its owner."""
        columns = _columns({"summary": summary, **fields}, replace=False)
        stamp = self.store.stamp()
        made = self.store.new_calendar_id()
        columns.setdefault("time_zone", self.user.time_zone)
        dates = {"created": stamp.now, "updated": stamp.now, "change": stamp.change}
        self.store.insert("calendars", {"calendar_id": made, "owner_id": self.user.user_id, **columns, **dates})
        self.store.insert(
            "acls",
            {
                "calendar_id": made,
                "rule_id": f"user:{self.user.email}",
                "scope_type": "user",
                "scope_value": self.user.email,
                "user_id": self.user.user_id,
                "role": "owner",
                **dates,
            },
        )
        color = str(self.store.value("SELECT count(*) FROM calendar_list WHERE user_id = ?", self.user.user_id) % 24 + 1)
        self.store.insert(
            "calendar_list",
            {
                "user_id": self.user.user_id,
                "calendar_id": made,
                "color_id": color,
                "background_color": CALENDAR_COLORS[color],
                "foreground_color": FOREGROUND,
                "selected": 1,
                "change": stamp.change,
            },
        )
        return self._shown_calendar(self.reach(made))

    @tool(idempotent=True, example={"calendarId": "primary", "timeZone": "Europe/London"})
    def calendars_patch(
        self, calendarId: CalendarId, summary: Summary | None = None, **fields: Unpack[CalendarFields]
    ) -> dict[str, Any]:
        """Change the given fields of a calendar. Needs owner access."""
        given: dict[str, Any] = dict(fields)
        if summary is not None:
            given["summary"] = summary
        return self._write_calendar(calendarId, _columns(given, replace=False))

    @tool(idempotent=True, example={"calendarId": "primary", "summary": "Alice"})
    def calendars_update(self, calendarId: CalendarId, summary: Summary, **fields: Unpack[CalendarFields]) -> dict[str, Any]:
        """Replace a calendar's metadata; what is not given is cleared. Needs owner access."""
        return self._write_calendar(calendarId, _columns({"summary": summary, **fields}, replace=True))

    @tool(destructive=True, example={"calendarId": "alice-team"})
    def calendars_delete(self, calendarId: CalendarId) -> None:
        """Delete a secondary calendar with its events. Only its data owner may."""
        access = self._owned(calendarId)
        if access.calendar["is_primary"]:
            raise denied(
                "cannotDeletePrimaryCalendar", "A primary calendar cannot be deleted", hint="calendars_clear empties it."
            )
        EventWriter(self.store, self.user).clear(access.id)
        stamp = self.store.stamp()
        gone = {"deleted": 1, "change": stamp.change}
        self.store.update("calendars", gone | {"updated": stamp.now}, "calendar_id = ?", access.id)
        self.store.update("calendar_list", gone, "calendar_id = ? AND NOT deleted", access.id)

    @tool(destructive=True, idempotent=True, example={"calendarId": "primary"})
    def calendars_clear(self, calendarId: CalendarId) -> None:
        """Delete all events of your primary calendar."""
        access = self._owned(calendarId)
        if not access.calendar["is_primary"]:
            raise invalid("calendarId", "Only a primary calendar can be cleared", hint="calendars_delete removes this one.")
        EventWriter(self.store, self.user).clear(access.id)

    def _owned(self, calendar_id: str) -> Access:
        access = self.require(calendar_id, Role.OWNER)
        if access.calendar["owner_id"] != self.user.user_id:
            raise denied("forbidden", "Only the data owner of the calendar may do this", location="calendarId")
        return access

    def _write_calendar(self, calendar_id: str, columns: dict[str, Any]) -> dict[str, Any]:
        access = self.require(calendar_id, Role.OWNER)
        changed = {name: value for name, value in columns.items() if access.calendar[name] != value}
        if changed:
            stamp = self.store.stamp()
            changed |= {"updated": stamp.now, "change": stamp.change}
            self.store.update("calendars", changed, "calendar_id = ?", access.id)
        return self._shown_calendar(self.reach(access.id))

    def _shown_calendar(self, access: Access) -> dict[str, Any]:
        return calendar(access.calendar, self.email_of(access.calendar["owner_id"]))


def _columns(fields: dict[str, Any], *, replace: bool) -> dict[str, Any]:
    """The calendar's columns for what was given."""
    columns: dict[str, Any] = {"description": None, "location": None, "conference_properties": None} if replace else {}
    for name, value in fields.items():
        if name == "conferenceProperties":
            columns["conference_properties"] = None if value is None else json.dumps(_conference(value))
        elif name == "timeZone":
            if value is not None:
                columns["time_zone"] = _zone_name(value)
        else:
            columns[_COLUMNS[name]] = value
    return columns


def _zone_name(name: str) -> str:
    try:
        return zone(name).key
    except ValueError as error:
        raise invalid("timeZone", f"Invalid time zone: {error}", example="America/New_York") from None


def _conference(value: dict[str, Any]) -> dict[str, Any]:
    known = ("eventHangout", "eventNamedHangout", "hangoutsMeet")
    kinds = value.get("allowedConferenceSolutionTypes")
    if set(value) != {"allowedConferenceSolutionTypes"} or not isinstance(kinds, list) or not set(map(str, kinds)) <= set(known):
        raise Invalid(
            "Invalid conferenceProperties",
            reason="invalid",
            location="conferenceProperties",
            hint=f"allowedConferenceSolutionTypes is a list of {', '.join(known)}.",
            example={"allowedConferenceSolutionTypes": ["hangoutsMeet"]},
        )
    return {"allowedConferenceSolutionTypes": [str(kind) for kind in kinds]}
