"""Reading events: events.get, events.list, events.instances."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from calendar_env.access import Access, Role
from calendar_env.event_listing import EventQuery, envelope, instant, listed, window
from calendar_env.event_rendering import EventView
from calendar_env.google_errors import invalid, not_found
from calendar_env.occurrences import Occurrence, Window, exceptions_by_series, expanded, find, rows_on, stored
from calendar_env.storage.tokens import traversal
from calendar_env.times import utc_text, zone
from calendar_env.tools.base import CalendarTools
from calendar_env.tools.payload import AttendeeLimit, CalendarId, EventPageSize, Instant
from openenv.tools import tool

EventType = Literal["birthday", "default", "focusTime", "fromGmail", "outOfOffice", "workingLocation"]
Properties = Annotated[list[str], Field(max_length=20, description="name=value")]


class EventReadingTools(CalendarTools):
    """Events as the caller may see them."""

    @tool(read_only=True, idempotent=True, example={"calendarId": "primary", "eventId": "budget0107"})
    def events_get(
        self,
        calendarId: CalendarId,
        eventId: str,
        maxAttendees: AttendeeLimit | None = None,
        timeZone: str | None = None,
    ) -> dict[str, Any]:
        """Get an event, or one occurrence of a recurring event by its own id."""
        access = self.reach(calendarId)
        one = self.event(access, eventId)
        return EventView(self.store, self.user, access, self.zone_for(access, timeZone), maxAttendees).show(one)

    @tool(read_only=True, idempotent=True, example={"calendarId": "primary", "timeMin": "2026-01-05T00:00:00Z"})
    def events_list(
        self,
        calendarId: CalendarId,
        eventTypes: list[EventType] | None = None,
        iCalUID: str | None = None,
        maxAttendees: AttendeeLimit | None = None,
        maxResults: EventPageSize = 250,
        orderBy: Annotated[Literal["startTime", "updated"] | None, Field(description="startTime needs singleEvents")] = None,
        pageToken: str | None = None,
        privateExtendedProperty: Properties | None = None,
        q: Annotated[str | None, Field(max_length=1000, description="Free text search")] = None,
        sharedExtendedProperty: Properties | None = None,
        showDeleted: bool = False,
        showHiddenInvitations: bool = False,
        singleEvents: Annotated[bool, Field(description="Expand recurring events into occurrences")] = False,
        syncToken: str | None = None,
        timeMax: Annotated[Instant | None, Field(description="Events that start before it")] = None,
        timeMin: Annotated[Instant | None, Field(description="Events that end after it; RFC 3339 with offset")] = None,
        timeZone: str | None = None,
        updatedMin: str | None = None,
    ) -> dict[str, Any]:
        """List or search events of a calendar. To see what happens in a span, give timeMin, timeMax and singleEvents."""
        access = self.reach(calendarId)
        query = EventQuery(
            window=window(timeMin, timeMax),
            single=singleEvents,
            order=orderBy,
            types=tuple(eventTypes or ()),
            i_cal_uid=iCalUID,
            private=tuple(privateExtendedProperty or ()),
            shared=tuple(sharedExtendedProperty or ()),
            text=q,
            updated_min=instant("updatedMin", updatedMin),
            show_deleted=showDeleted,
            sync_token=syncToken,
            page_token=pageToken,
            size=maxResults,
        )
        view = EventView(self.store, self.user, access, self.zone_for(access, timeZone), maxAttendees)
        return listed(view, query)

    @tool(read_only=True, idempotent=True, example={"calendarId": "primary", "eventId": "standup"})
    def events_instances(
        self,
        calendarId: CalendarId,
        eventId: str,
        maxAttendees: AttendeeLimit | None = None,
        maxResults: EventPageSize = 250,
        originalStart: str | None = None,
        pageToken: str | None = None,
        showDeleted: bool = False,
        timeMax: str | None = None,
        timeMin: str | None = None,
        timeZone: str | None = None,
    ) -> dict[str, Any]:
        """List the occurrences of a recurring event, exceptions included."""
        access = self.reach(calendarId)
        series = self.event(access, eventId)
        if series.row["recurrence"] is None or series.virtual:
            raise invalid("eventId", "This event is not recurring", hint="Give the recurringEventId that its occurrences show.")
        wanted = window(timeMin, timeMax, inclusive_low=True)
        parameters = {"size": maxResults, "window": wanted, "deleted": showDeleted, "original": originalStart}
        which = traversal(
            f"instances/{access.id}/{eventId}/{self.user.user_id}",
            parameters,
            now=self.store.change,
            page_token=pageToken,
        )
        view = EventView(self.store, self.user, access, self.zone_for(access, timeZone), maxAttendees)
        view.read_all_attendees()
        found = self._instances(access, series, wanted)
        original = instant("originalStart", originalStart)
        items = [
            ((one.start, one.id), one)
            for one in found
            if (showDeleted or not one.cancelled) and (original is None or one.original == utc_text(original))
        ]
        shown, token = which.page(sorted(items, key=lambda item: item[0]), maxResults)
        token.pop("nextSyncToken", None)
        return envelope(view) | token | {"items": [view.show(one) for one in shown]}

    def _instances(self, access: Access, series: Occurrence, wanted: Window) -> list[Occurrence]:
        key = series.row["event_key"]
        calendar_zone = zone(access.calendar["time_zone"])
        exceptions = exceptions_by_series(rows_on(self.store, access.id, wanted)).get(key, [])
        own = [stored(row) for row in exceptions]
        kept = [one for one in own if wanted.touches(one.span(calendar_zone))]
        return [*kept, *expanded(series.row, exceptions, wanted, self.store.now, calendar_zone)]

    def event(self, access: Access, event_id: str) -> Occurrence:
        """The event of this id on the calendar. Raises NOT_FOUND."""
        one = find(self.store, access.id, event_id)
        if one is None:
            hint = f"events_list shows the events of {access.id!r} with their ids; ids belong to one calendar."
            raise not_found("eventId", "event", event_id, hint)
        return one

    def event_to_write(self, access: Access, event_id: str) -> Occurrence:
        """`event`, for somebody who may write it."""
        if access.role < Role.WRITER_WITHOUT_PRIVATE_ACCESS:
            self.require(access.id, Role.WRITER)
        one = self.event(access, event_id)
        if EventView(self.store, self.user, access, zone("UTC")).masked(one.row):
            self.require(access.id, Role.WRITER)
        return one

    def zone_for(self, access: Access, name: str | None) -> ZoneInfo:
        """The zone of a response."""
        try:
            return zone(name if name is not None else access.calendar["time_zone"])
        except ValueError as error:
            raise invalid("timeZone", f"Invalid time zone: {error}", example="America/New_York") from None
