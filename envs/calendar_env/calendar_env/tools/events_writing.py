"""Writing events: events.insert, patch, update, delete, move, import, quickAdd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Unpack

from pydantic import Field

from calendar_env import conference
from calendar_env.access import Access, Role
from calendar_env.event_changes import EventWriter
from calendar_env.event_rendering import EventView
from calendar_env.event_values import check_type, copy_columns, recurrence, shared_columns, span
from calendar_env.google_errors import Duplicate, Invalid, denied, invalid
from calendar_env.ids import is_event_id
from calendar_env.quick_add import read_quickly
from calendar_env.times import zone
from calendar_env.tools.events_reading import EventReadingTools
from calendar_env.tools.payload import CalendarId, EventFields, EventTime, Organizer, SendUpdates
from openenv.tools import tool

_TYPES = ("outOfOfficeProperties", "focusTimeProperties", "workingLocationProperties", "birthdayProperties")
_TIMES = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}
_EXAMPLE = {"calendarId": "primary", "summary": "Design review", **_TIMES}
NewEventType = Literal["default", "birthday", "focusTime", "outOfOffice", "workingLocation"]


class EventWritingTools(EventReadingTools):
    """Changes to events. An invitation reaches the primary calendar of everyone who has an account."""

    @tool(example=_EXAMPLE)
    def events_insert(
        self,
        calendarId: CalendarId,
        start: EventTime,
        end: EventTime,
        id: Annotated[str | None, Field(description="Your own id: 5 or more of 0-9 a-v")] = None,
        iCalUID: str | None = None,
        eventType: NewEventType = "default",
        **fields: Unpack[EventFields],
    ) -> dict[str, Any]:
        """Create an event. Everyone in attendees is invited. Needs writer access."""
        access = self._writable(calendarId)
        if id is not None and iCalUID is not None:
            raise invalid("id", "Give an id or an iCalUID, not both", hint="Leave iCalUID out.")
        given: dict[str, Any] = {**fields, "start": start, "end": end}
        columns = self._new_columns(access, given, eventType)
        if iCalUID is not None:
            columns["i_cal_uid"] = iCalUID[:1024]
        event_id = self._free_id(access, id)
        writer = EventWriter(self.store, self.user)
        attendees = writer.guests.checked(fields.get("attendees") or ())
        columns |= self._conference(fields, event_id)
        key = writer.create(access, event_id, columns, copy_columns(given), attendees)
        writer.notify("invitation", key, access.id, fields.get("sendUpdates"))
        return self._shown_event(access, event_id, fields)

    @tool(idempotent=True, example={"calendarId": "primary", "eventId": "budget0107", "summary": "Budget"})
    def events_patch(
        self,
        calendarId: CalendarId,
        eventId: str,
        start: EventTime | None = None,
        end: EventTime | None = None,
        **fields: Unpack[EventFields],
    ) -> dict[str, Any]:
        """Change the given fields of an event or of one occurrence; null clears, lists are replaced whole."""
        times = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
        return self._change_event(calendarId, eventId, {**fields, **times}, replace=False)

    @tool(idempotent=True, example={"calendarId": "primary", "eventId": "budget0107", "summary": "Budget", **_TIMES})
    def events_update(
        self,
        calendarId: CalendarId,
        eventId: str,
        start: EventTime,
        end: EventTime,
        **fields: Unpack[EventFields],
    ) -> dict[str, Any]:
        """Replace an event or one occurrence: what is not given is cleared, attendees too."""
        return self._change_event(calendarId, eventId, {**fields, "start": start, "end": end}, replace=True)

    @tool(destructive=True, example={"calendarId": "primary", "eventId": "budget0107"})
    def events_delete(self, calendarId: CalendarId, eventId: str, sendUpdates: SendUpdates | None = None) -> None:
        """Delete an event, a whole series, or one occurrence by its own id."""
        access = self.reach(calendarId)
        one = self.event_to_write(access, eventId)
        EventWriter(self.store, self.user).cancel(one, access, {"sendUpdates": sendUpdates})

    @tool(example={"calendarId": "primary", "eventId": "budget0107", "destination": "alice-projects"})
    def events_move(
        self, calendarId: CalendarId, eventId: str, destination: str, sendUpdates: SendUpdates | None = None
    ) -> dict[str, Any]:
        """Move an event to another calendar, which becomes its organizer. Needs writer access to both."""
        access = self.reach(calendarId)
        one = self.event_to_write(access, eventId)
        target = self.require(destination, Role.WRITER, field="destination")
        if one.original is not None:
            raise denied(
                "cannotChangeOrganizerOfInstance", "Cannot move a single occurrence", hint="Move the series.", location="eventId"
            )
        if one.row["calendar_id"] != access.id:
            raise denied("cannotChangeOrganizer", "Only the organizer's calendar can give an event away", location="calendarId")
        if one.cancelled:
            raise invalid("eventId", "A deleted event cannot be moved", hint="Set its status to confirmed first.")
        if one.row["event_type"] != "default":
            raise Invalid("Only events of the type default can be moved", reason="invalid", location="eventId")
        if target.id != access.id:
            self._refuse_taken(target, one.row["event_id"], one.row["event_key"])
            writer = EventWriter(self.store, self.user)
            writer.move(one, access, target)
            writer.notify("update", one.row["event_key"], target.id, sendUpdates)
        return self._shown_event(target, one.row["event_id"], {})

    @tool(idempotent=True, example={"calendarId": "primary", "iCalUID": "a1@example.com", **_TIMES})
    def events_import(
        self,
        calendarId: CalendarId,
        iCalUID: Annotated[str, Field(min_length=1, max_length=1024)],
        start: EventTime,
        end: EventTime,
        organizer: Organizer | None = None,
        **fields: Unpack[EventFields],
    ) -> dict[str, Any]:
        """Add a private copy of an existing event, known by its iCalUID; nobody is invited. Needs writer access."""
        access = self._writable(calendarId)
        given: dict[str, Any] = {**fields, "start": start, "end": end}
        writer = EventWriter(self.store, self.user)
        sql = "SELECT event_id FROM events WHERE calendar_id = ? AND i_cal_uid = ? AND series_key IS NULL"
        known = self.store.value(sql, access.id, iCalUID)
        if known is not None:
            one = self.event(access, known)
            if one.cancelled:
                given.setdefault("status", "confirmed")
            return EventView(self.store, self.user, access, zone(access.calendar["time_zone"])).show(
                writer.change(one, access, given)
            )
        columns = self._new_columns(access, given, "default") | {"i_cal_uid": iCalUID}
        event_id = self._free_id(access, None)
        attendees = writer.guests.checked(fields.get("attendees") or ())
        columns |= self._conference(fields, event_id)
        if organizer is not None:
            columns |= {"organizer_email": organizer.email, "organizer_name": organizer.displayName}
        writer.create(access, event_id, columns, copy_columns(given), attendees, invite=False)
        return self._shown_event(access, event_id, fields)

    @tool(example={"calendarId": "primary", "text": "Lunch with Carol tomorrow 12:30-13:30"})
    def events_quick_add(
        self,
        calendarId: CalendarId,
        text: Annotated[str, Field(min_length=1, max_length=1024)],
        sendUpdates: SendUpdates | None = None,
    ) -> dict[str, Any]:
        """Create an event from words: what, then a day (tomorrow, Friday, 2026-01-15) and a time (3pm, 14:00-15:00)."""
        access = self._writable(calendarId)
        sql = "SELECT value FROM settings WHERE user_id = ? AND setting_id = 'defaultEventLength'"
        minutes = int(self.store.value(sql, self.user.user_id))
        local = zone(access.calendar["time_zone"])
        summary, start, end = read_quickly(text, self.store.now, local, minutes)
        columns = {"summary": summary} | span(start, end, local.key)
        event_id = self._free_id(access, None)
        EventWriter(self.store, self.user).create(access, event_id, columns, {}, ())
        return self._shown_event(access, event_id, {})

    def _writable(self, calendar_id: str) -> Access:
        access = self.reach(calendar_id)
        return access if access.role >= Role.WRITER_WITHOUT_PRIVATE_ACCESS else self.require(calendar_id, Role.WRITER)

    def _change_event(self, calendar_id: str, event_id: str, given: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
        access = self.reach(calendar_id)
        one = self.event_to_write(access, event_id)
        properties = {name: given[name] for name in _TYPES if given.get(name) is not None}
        if properties:
            check_type(one.row["event_type"], one.row, on_primary=bool(access.calendar["is_primary"]), properties=properties)
        writer = EventWriter(self.store, self.user)
        one = writer.change(one, access, given, replace=replace)
        made = self._conference(given, one.row["event_id"])
        if made and not one.virtual:
            self.store.update("events", made, "event_key = ?", one.row["event_key"])
        return self._shown_event(access, one.id, given)

    def _new_columns(self, access: Access, given: Mapping[str, Any], event_type: str) -> dict[str, Any]:
        times = span(given["start"], given["end"], access.calendar["time_zone"])
        columns = shared_columns(given) | times
        if columns.get("status") == "cancelled":
            raise invalid("status", "A new event cannot be cancelled", example="confirmed")
        columns["recurrence"] = recurrence(given.get("recurrence"), given["start"], times)
        properties = {name: given[name] for name in _TYPES if given.get(name) is not None}
        check_type(event_type, times, on_primary=bool(access.calendar["is_primary"]), properties=properties)
        if event_type in ("workingLocation", "birthday"):
            columns["transparency"] = "transparent"
        return columns | {"event_type": event_type}

    def _free_id(self, access: Access, wanted: str | None) -> str:
        if wanted is None:
            return self.store.new_id()
        if not is_event_id(wanted):
            hint = "Use 5 to 1024 of the characters 0-9 and a-v, or leave id out."
            raise invalid("id", "Invalid resource id value.", hint=hint, example="kickoff2026")
        self._refuse_taken(access, wanted, None)
        return wanted

    def _refuse_taken(self, access: Access, event_id: str, key: int | None) -> None:
        sql = "SELECT event_key FROM event_copies WHERE calendar_id = ? AND event_id = ?"
        found = self.store.value(sql, access.id, event_id)
        if found is not None and found != key:
            raise Duplicate(
                "The requested identifier already exists.",
                reason="duplicate",
                location="id",
                hint="Choose another id, or leave it out. The id of a deleted event stays taken.",
            )

    def _conference(self, fields: Mapping[str, Any], event_id: str) -> dict[str, Any]:
        """The column of the conference, where the client knows of conferences."""
        if not fields.get("conferenceDataVersion") or "conferenceData" not in fields:
            return {}
        return {"conference_data": conference.made(fields["conferenceData"], event_id)}

    def _shown_event(self, access: Access, event_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        view = EventView(self.store, self.user, access, zone(access.calendar["time_zone"]), fields.get("maxAttendees"))
        return view.show(self.event(access, event_id))
