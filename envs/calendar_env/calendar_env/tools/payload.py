"""What tools take: Google's names and shapes. Kept small on purpose, for every agent reads the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

CalendarId = Annotated[str, Field(description="Calendar id, or 'primary'")]
JsonObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]
"""An object whose inside is checked later, so that its schema stays out of the tool list."""
Properties = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "description": "{private: {}, shared: {}}, names to texts"})
]
Source = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "description": "{title, url}"})]
Text = Annotated[str, Field(max_length=8192)]
PageSize = Annotated[int, Field(ge=1, le=250)]
EventPageSize = Annotated[int, Field(ge=1, le=2500)]
AttendeeLimit = Annotated[int, Field(ge=1, le=10_000)]
SendUpdates = Literal["all", "externalOnly", "none"]
Instant = Annotated[str, Field(description="RFC 3339 with offset")]
RoleName = Literal["none", "freeBusyReader", "reader", "writerWithoutPrivateAccess", "writer", "owner"]
Color = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]

_CLOSED = ConfigDict(extra="forbid")


class EventTime(BaseModel):
    """date for all-day; else dateTime, with an offset or timeZone"""

    model_config = _CLOSED

    date: Annotated[str | None, Field(description="YYYY-MM-DD")] = None
    dateTime: Annotated[str | None, Field(description="RFC 3339")] = None
    timeZone: Annotated[str | None, Field(description="IANA; needed by recurring events")] = None


class Attendee(BaseModel):
    model_config = _CLOSED

    email: Annotated[str, Field(min_length=3, max_length=254)]
    displayName: Annotated[str, Field(max_length=255)] | None = None
    optional: bool | None = None
    resource: bool | None = None
    responseStatus: Literal["needsAction", "declined", "tentative", "accepted"] | None = None
    comment: Annotated[str, Field(max_length=1024)] | None = None
    additionalGuests: Annotated[int, Field(ge=0, le=1000)] | None = None
    # What a resource carries that was read before; not for the client to set.
    id: SkipJsonSchema[str | None] = None
    organizer: SkipJsonSchema[bool | None] = None
    self_: SkipJsonSchema[bool | None] = Field(default=None, alias="self")


class Reminder(BaseModel):
    model_config = _CLOSED

    method: Literal["email", "popup"]
    minutes: Annotated[int, Field(ge=0, le=40320)]


class Reminders(BaseModel):
    model_config = _CLOSED

    useDefault: bool = False
    overrides: Annotated[list[Reminder], Field(max_length=5)] | None = None


class Scope(BaseModel):
    model_config = _CLOSED

    type: Literal["default", "user", "group", "domain"]
    value: Annotated[str | None, Field(description="E-mail or domain; none for default")] = None


class FreeBusyItem(BaseModel):
    model_config = _CLOSED

    id: Annotated[str, Field(min_length=1, max_length=254)]


class Organizer(BaseModel):
    model_config = _CLOSED

    email: Annotated[str, Field(min_length=3, max_length=254)]
    displayName: Annotated[str, Field(max_length=255)] | None = None
    id: SkipJsonSchema[str | None] = None
    self_: SkipJsonSchema[bool | None] = Field(default=None, alias="self")


class CalendarFields(TypedDict, total=False):
    """What calendars.patch and calendars.update may set."""

    description: Annotated[str, Field(max_length=4096)] | None
    location: Annotated[str, Field(max_length=1024)] | None
    timeZone: Annotated[str, Field(description="IANA")] | None
    conferenceProperties: JsonObject | None


class ListEntryFields(TypedDict, total=False):
    """How a calendar looks on its user's list."""

    summaryOverride: Annotated[str, Field(max_length=255)] | None
    colorId: str | None
    backgroundColor: Color | None
    foregroundColor: Color | None
    colorRgbFormat: Annotated[bool | None, Field(description="Use backgroundColor and foregroundColor, not colorId")]
    hidden: bool | None
    selected: bool | None
    defaultReminders: Annotated[list[Reminder], Field(max_length=5)] | None
    notificationSettings: JsonObject | None


class EventFields(TypedDict, total=False):
    """What every method that writes an event may set, and how."""

    summary: Annotated[str, Field(max_length=1024)] | None
    description: Text | None
    location: Annotated[str, Field(max_length=1024)] | None
    attendees: Annotated[list[Attendee], Field(max_length=200)] | None
    attendeesOmitted: Annotated[bool | None, Field(description="Only your own response is applied")]
    recurrence: Annotated[list[str], Field(max_length=50, description="RRULE, EXDATE, RDATE lines")] | None
    reminders: Reminders | None
    colorId: str | None
    visibility: Literal["default", "public", "private", "confidential"] | None
    transparency: Literal["opaque", "transparent"] | None
    status: Literal["confirmed", "tentative", "cancelled"] | None
    guestsCanInviteOthers: bool | None
    guestsCanModify: bool | None
    guestsCanSeeOtherGuests: bool | None
    anyoneCanAddSelf: bool | None
    extendedProperties: Properties | None
    source: Source | None
    attachments: Annotated[list[JsonObject], Field(max_length=25)] | None
    conferenceData: JsonObject | None
    outOfOfficeProperties: JsonObject | None
    focusTimeProperties: JsonObject | None
    workingLocationProperties: JsonObject | None
    birthdayProperties: JsonObject | None
    sendUpdates: SendUpdates | None
    maxAttendees: AttendeeLimit | None
    conferenceDataVersion: Annotated[int, Field(ge=0, le=1)] | None
    supportsAttachments: bool | None


_RESOURCE = frozenset({"kind", "etag"})
_EVENT = _RESOURCE | {
    "htmlLink",
    "created",
    "updated",
    "creator",
    "recurringEventId",
    "originalStartTime",
    "hangoutLink",
    "locked",
    "privateCopy",
    "endTimeUnspecified",
    "sequence",
}
_LIST_ENTRY = _RESOURCE | {
    "accessRole",
    "primary",
    "summary",
    "description",
    "location",
    "timeZone",
    "dataOwner",
    "conferenceProperties",
    "deleted",
}
_CHANGED_EVENT = _EVENT | {"id", "iCalUID", "organizer", "eventType"}
_READ_ONLY: Mapping[str, frozenset[str]] = {
    "events_insert": _EVENT | {"organizer"},
    "events_import": _EVENT | {"id", "eventType"},
    "events_patch": _CHANGED_EVENT,
    "events_update": _CHANGED_EVENT,
    "calendars_insert": _RESOURCE | {"id", "dataOwner"},
    "calendars_patch": _RESOURCE | {"id", "dataOwner"},
    "calendars_update": _RESOURCE | {"id", "dataOwner"},
    "calendar_list_insert": _LIST_ENTRY,
    "calendar_list_patch": _LIST_ENTRY | {"id"},
    "calendar_list_update": _LIST_ENTRY | {"id"},
    "acl_insert": _RESOURCE | {"id"},
    "acl_patch": _RESOURCE | {"id"},
    "acl_update": _RESOURCE | {"id"},
}


def without_read_only(tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments without what Google ignores: a resource that was read may be sent back as it came."""
    ignored = _READ_ONLY.get(tool)
    if ignored is None or ignored.isdisjoint(arguments):
        return arguments
    return {name: value for name, value in arguments.items() if name not in ignored}
