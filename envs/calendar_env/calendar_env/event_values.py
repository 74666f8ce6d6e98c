"""What clients send about an event, checked and brought into the columns of the store."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from calendar_env import times
from calendar_env.colors import EVENT_COLORS
from calendar_env.google_errors import Invalid, invalid, required
from calendar_env.recurrence import InvalidRecurrence, series
from calendar_env.storage.store import Row
from calendar_env.times import day_text, from_utc_text, parse_date, parse_date_time, utc_text
from calendar_env.tools.payload import EventTime, Reminders

Columns = Mapping[str, Any] | Row
"""Columns by name: what is to be written, or what is stored."""

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,189}", re.ASCII)
_TYPE_OF_PROPERTIES: Final = {
    "outOfOfficeProperties": "outOfOffice",
    "focusTimeProperties": "focusTime",
    "workingLocationProperties": "workingLocation",
    "birthdayProperties": "birthday",
}
_KNOWN_PROPERTIES: Final[Mapping[str, frozenset[str]]] = {
    "outOfOfficeProperties": frozenset({"autoDeclineMode", "declineMessage"}),
    "focusTimeProperties": frozenset({"autoDeclineMode", "declineMessage", "chatStatus"}),
    "workingLocationProperties": frozenset({"type", "homeOffice", "customLocation", "officeLocation"}),
    "birthdayProperties": frozenset({"contact", "type", "customTypeName"}),
}
_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "autoDeclineMode": frozenset({"declineNone", "declineAllConflictingInvitations", "declineOnlyNewConflictingInvitations"}),
    "chatStatus": frozenset({"available", "doNotDisturb"}),
}
_WORKING_TYPES: Final = frozenset({"homeOffice", "customLocation", "officeLocation"})

FLAGS: Final[Mapping[str, tuple[str, Any]]] = {
    "guestsCanInviteOthers": ("guests_can_invite_others", 1),
    "guestsCanModify": ("guests_can_modify", 0),
    "guestsCanSeeOtherGuests": ("guests_can_see_other_guests", 1),
    "anyoneCanAddSelf": ("anyone_can_add_self", 0),
}
_PLAIN: Final[Mapping[str, tuple[str, Any]]] = {
    "summary": ("summary", None),
    "description": ("description", None),
    "location": ("location", None),
    "status": ("status", "confirmed"),
    "visibility": ("visibility", "default"),
    "transparency": ("transparency", "opaque"),
}
SHARED_DEFAULTS: Final[Mapping[str, Any]] = {
    **dict(_PLAIN.values()),
    **dict(FLAGS.values()),
    "recurrence": None,
    "shared_properties": None,
    "source": None,
}
"""What events.update brings back where nothing is given."""
COPY_DEFAULTS: Final[Mapping[str, Any]] = {"color_id": None, "reminders": None, "private_properties": None}
ORGANIZERS_ONLY: Final = frozenset(column for column, _ in FLAGS.values()) | {"visibility", "recurrence"}


def span(start: EventTime, end: EventTime, calendar_zone: str) -> dict[str, Any]:
    """The columns of an event's times. Raises 400."""
    if (start.date is None) != (end.date is None):
        raise invalid("end", "Start and end times must either both be date or both be dateTime.", hint="Use the same in both.")
    if start.date is not None and end.date is not None:
        first, last = _day("start", start), _day("end", end)
        if last <= first:
            _empty(hint="The end date is the day after the last one.")
        return {
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
            "start_datetime": day_text(first),
            "end_datetime": day_text(last),
            "start_time_zone": None,
            "end_time_zone": None,
        }
    first_moment, first_zone = _moment("start", start, calendar_zone)
    last_moment, last_zone = _moment("end", end, calendar_zone)
    if last_moment < first_moment:
        _empty(hint="The end must not lie before the start.")
    return {
        "start_date": None,
        "end_date": None,
        "start_datetime": utc_text(first_moment),
        "end_datetime": utc_text(last_moment),
        "start_time_zone": first_zone,
        "end_time_zone": last_zone,
    }


def _empty(hint: str) -> None:
    raise invalid("end", "The specified time range is empty.", reason="timeRangeEmpty", hint=hint)


def _day(field: str, given: EventTime) -> date:
    if given.dateTime is not None:
        raise invalid(field, f"{field} has both date and dateTime", hint="date is for all-day events, dateTime for all others.")
    try:
        return parse_date(given.date or "")
    except ValueError as error:
        raise invalid(f"{field}.date", f"Invalid value for {field}.date: {error}", example="2026-01-15") from None


def _moment(field: str, given: EventTime, calendar_zone: str) -> tuple[datetime, str]:
    """The instant, and the name of the event's own zone."""
    if given.dateTime is None:
        example = {"dateTime": "2026-01-15T14:00:00Z"}
        raise required(field, f"Missing {field} time.", hint=f"Give {field} a dateTime, or a date for all-day.", example=example)
    try:
        named = None if given.timeZone is None else times.zone(given.timeZone)
    except ValueError as error:
        raise invalid(f"{field}.timeZone", f"Invalid time zone: {error}", example="America/New_York") from None
    try:
        moment = parse_date_time(given.dateTime)
    except ValueError as error:
        moment_example = "2026-01-15T14:00:00-05:00"
        raise invalid(f"{field}.dateTime", f"Invalid value for {field}.dateTime: {error}", example=moment_example) from None
    if moment.tzinfo is None:
        if named is None:
            raise required(
                field,
                f"Missing time zone definition for {field} time.",
                hint="Write the offset in dateTime (Z, -05:00), or give timeZone.",
                example={"dateTime": "2026-01-15T14:00:00", "timeZone": "America/New_York"},
            )
        moment = moment.replace(tzinfo=named)
    return moment, given.timeZone or calendar_zone


def recurrence(lines: list[str] | None, start: EventTime, times_of: Mapping[str, Any]) -> str | None:
    """The column of the recurrence lines, checked against the times of the event. Raises 400."""
    if not lines:
        return None
    all_day = times_of["start_date"] is not None
    if not all_day and start.timeZone is None:
        raise required(
            "start.timeZone",
            "Missing time zone definition for start time.",
            hint="A recurring event needs start.timeZone: it says on whose wall clock it recurs.",
            example={"dateTime": "2026-01-15T14:00:00", "timeZone": "America/New_York"},
        )
    check_recurrence(lines, times_of)
    return json.dumps(lines)


def check_recurrence(lines: list[str], times_of: Mapping[str, Any]) -> None:
    """Raises 400 when the lines make no series of an event at these times."""
    all_day = times_of["start_date"] is not None
    zone = None if all_day else times.zone(times_of["start_time_zone"])
    try:
        series(tuple(lines), from_utc_text(times_of["start_datetime"]), zone).check()
    except InvalidRecurrence as error:
        raise invalid("recurrence", f"Invalid recurrence rule: {error}", example=["RRULE:FREQ=WEEKLY;COUNT=4;BYDAY=MO"]) from None


def shared_columns(fields: Mapping[str, Any], known: Columns | None = None) -> dict[str, Any]:
    """The columns of what all copies share, apart from times, recurrence and attendees. ``None`` clears.

    Args:
        known: The stored row, where extended properties are merged into what is there.
    """
    columns: dict[str, Any] = {}
    for name, (column, default) in {**_PLAIN, **FLAGS}.items():
        if name in fields:
            value = default if fields[name] is None else fields[name]
            columns[column] = int(value) if isinstance(value, bool) else value
    if "extendedProperties" in fields:
        shared = _properties(fields["extendedProperties"])[1]
        columns |= _merged("shared_properties", shared, known)
    if "source" in fields:
        columns["source"] = _source(fields["source"])
    if "attachments" in fields and fields.get("supportsAttachments"):
        columns["attachments"] = _attachments(fields["attachments"])
    properties = {name: _checked(name, fields[name]) for name in _TYPE_OF_PROPERTIES if fields.get(name) is not None}
    if properties:
        columns["type_properties"] = json.dumps(properties)
    return columns


def copy_columns(fields: Mapping[str, Any], known: Columns | None = None) -> dict[str, Any]:
    """The columns of what is private to one calendar."""
    columns: dict[str, Any] = {}
    if "colorId" in fields:
        color = fields["colorId"]
        if color is not None and color not in EVENT_COLORS:
            hint = "colors_get shows the event colours, 1 to 11."
            raise invalid("colorId", f"Invalid colorId {color[:20]!r}", hint=hint, example="9")
        columns["color_id"] = color
    if "reminders" in fields:
        columns["reminders"] = _reminders(fields["reminders"])
    if "extendedProperties" in fields:
        columns |= _merged("private_properties", _properties(fields["extendedProperties"])[0], known)
    return columns


def check_type(event_type: str, columns: Columns, *, on_primary: bool, properties: Mapping[str, Any]) -> None:
    """Refuse a status event in the wrong place or shape. Raises 400."""
    for name in properties:
        wanted = _TYPE_OF_PROPERTIES[name]
        if wanted != event_type:
            raise invalid(name, f"{name} belongs to events of the type {wanted}", hint=f"Set eventType to {wanted}.")
    if event_type in ("default", "birthday"):
        return
    reason = f"malformed{event_type[0].upper()}{event_type[1:]}Event"
    if not on_primary:
        raise Invalid(f"An event of the type {event_type} lives on a primary calendar only", reason=reason, location="calendarId")
    if columns["start_date"] is not None and event_type != "workingLocation":
        raise Invalid(f"An event of the type {event_type} cannot be all-day", reason=reason, location="start")
    if event_type == "workingLocation" and "workingLocationProperties" not in properties:
        example = {"type": "homeOffice", "homeOffice": {}}
        raise Invalid("A working location says where", reason=reason, location="workingLocationProperties", example=example)


def is_email(text: str) -> bool:
    """Whether this looks like an e-mail address, or like the id of a calendar that is one."""
    return _EMAIL.fullmatch(text) is not None


def _merged(column: str, given: Mapping[str, str | None] | None, known: Columns | None) -> dict[str, Any]:
    """Properties merge by key, and ``None`` removes one."""
    if given is None:
        return {}
    before = json.loads(known[column]) if known is not None and known[column] else {}
    merged = {name: value for name, value in (before | dict(given)).items() if value is not None}
    return {column: json.dumps(merged, sort_keys=True) if merged else None}


def _properties(value: Any) -> tuple[Mapping[str, str | None] | None, Mapping[str, str | None] | None]:
    """The private and the shared part of extendedProperties; ``None`` where a part is not given."""
    if value is None:
        return None, None
    example = {"private": {"ticket": "42"}, "shared": {"project": "alpha"}}
    if not isinstance(value, dict) or not set(value) <= {"private", "shared"}:
        raise invalid("extendedProperties", "extendedProperties has private and shared only", example=example)
    for part, pairs in value.items():
        texts = isinstance(pairs, dict) and all(one is None or isinstance(one, str) for one in pairs.values())
        if pairs is not None and (not texts or len(pairs) > 300 or len(json.dumps(pairs)) > 32_768):
            raise invalid(f"extendedProperties.{part}", "It maps at most 300 names to texts", example=example)
    return value.get("private"), value.get("shared")


def _reminders(value: Reminders | None) -> str | None:
    if value is None:
        return None
    if value.useDefault and value.overrides:
        raise Invalid(
            "Cannot specify both default reminders and overrides at the same time.",
            reason="cannotUseDefaultRemindersAndSpecifyOverride",
            domain="calendar",
            location="reminders",
            hint="Set useDefault to false.",
        )
    return None if value.useDefault else json.dumps(value.model_dump(exclude_none=True))


def _source(value: Any) -> str | None:
    if value is None:
        return None
    url = value.get("url") if set(value) <= {"title", "url"} else None
    if not isinstance(url, str) or not re.match(r"https?://", url) or len(url) > 2048:
        raise invalid(
            "source.url", "source has a title and an http or https url", example={"title": "Ticket", "url": "https://example.com"}
        )
    return json.dumps({"title": str(value.get("title", ""))[:1024], "url": url})


def _attachments(value: list[dict[str, Any]] | None) -> str | None:
    known = {"fileUrl", "title", "mimeType", "iconLink", "fileId"}
    for one in value or ():
        texts = all(isinstance(part, str) and len(part) <= 2048 for part in one.values())
        if not set(one) <= known or not one.get("fileUrl") or not texts:
            hint = "An attachment has a fileUrl, and a title, mimeType, iconLink or fileId where known; all are texts."
            raise invalid("attachments", "Invalid attachment", hint=hint, example=[{"fileUrl": "https://example.com/a.pdf"}])
    return json.dumps(value) if value else None


def _checked(name: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    known = _KNOWN_PROPERTIES[name]
    unknown = sorted(set(value) - known)
    if unknown:
        raise invalid(name, f"{name} has no field {unknown[0][:40]!r}", hint=f"It has {', '.join(sorted(known))}.")
    for field, allowed in _VALUES.items():
        if field in value and value[field] not in tuple(allowed):
            raise invalid(f"{name}.{field}", f"{field} must be one of {', '.join(sorted(allowed))}")
    if name == "workingLocationProperties" and value.get("type") not in tuple(_WORKING_TYPES):
        raise invalid(f"{name}.type", f"type must be one of {', '.join(sorted(_WORKING_TYPES))}")
    if len(json.dumps(value)) > 8192:
        raise invalid(name, f"{name} is too long", hint="Keep it below 8 kB.")
    return value
