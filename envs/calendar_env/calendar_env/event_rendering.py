"""Events as Google shows them to somebody: masked where the role asks for it, in the zone that was asked for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from calendar_env.access import Access, Role
from calendar_env.occurrences import Occurrence
from calendar_env.rendering import etag, given, loaded
from calendar_env.storage.store import Row, Store, User
from calendar_env.times import shown as shown_instant
from calendar_env.times import stamp_text

_GUEST_FLAGS = (
    ("guestsCanInviteOthers", "guests_can_invite_others", 1),
    ("guestsCanModify", "guests_can_modify", 0),
    ("guestsCanSeeOtherGuests", "guests_can_see_other_guests", 1),
    ("anyoneCanAddSelf", "anyone_can_add_self", 0),
)


class EventView:
    """Shows the events of one calendar to one user."""

    def __init__(self, store: Store, user: User, access: Access, zone: ZoneInfo, max_attendees: int | None = None) -> None:
        self.store = store
        self.user = user
        self.access = access
        self.zone = zone
        self.max_attendees = max_attendees
        self._attendees: dict[int, list[Row]] | None = None
        calendar = access.calendar
        self._owner = calendar["owner_id"] if calendar["is_primary"] else None
        self._owner_email = store.value("SELECT email FROM users WHERE user_id = ?", calendar["owner_id"])

    def read_all_attendees(self) -> None:
        """Read the attendees of the whole calendar at once, for a list."""
        sql = "SELECT * FROM attendees WHERE event_key IN (SELECT event_key FROM event_copies WHERE calendar_id = ?)"
        found: dict[int, list[Row]] = {}
        for row in self.store.rows(sql + " ORDER BY event_key, position", self.access.id):
            found.setdefault(row["event_key"], []).append(row)
        self._attendees = found

    def attendees(self, key: int) -> Sequence[Row]:
        """An event's attendees."""
        if self._attendees is not None:
            return self._attendees.get(key, ())
        return self.store.rows("SELECT * FROM attendees WHERE event_key = ? ORDER BY position", key)

    def masked(self, row: Row) -> bool:
        """Whether only the times are shown: to those who may see no more, and of private events to mere readers."""
        if self.access.role is Role.FREE_BUSY_READER:
            return True
        if self.access.role.sees_private or row["visibility"] not in ("private", "confidential"):
            return False
        if self.user.email in (row["organizer_email"], row["creator_email"]):
            return False
        return all(guest["user_id"] != self.user.user_id for guest in self.attendees(row["event_key"]))

    def show(self, one: Occurrence) -> dict[str, Any]:
        """The event's resource."""
        row = one.row
        if one.cancelled and (row["copy_cancelled"] or one.original is not None or row["calendar_id"] != self.access.id):
            return self._identity(one) | {"status": "cancelled"} | self._belonging(one)
        if self.masked(row):
            return self._busy(one)
        return self._full(one)

    def _identity(self, one: Occurrence) -> dict[str, Any]:
        return {"kind": "calendar#event", "etag": etag(one.row["shown_change"]), "id": one.id}

    def _busy(self, one: Occurrence) -> dict[str, Any]:
        recurrence = None if one.virtual else loaded(one.row["recurrence"])
        times = {"start": self._time(one, "start"), "end": self._time(one, "end")}
        mask = {"status": one.row["status"], **times, **given(recurrence=recurrence), "visibility": "private"}
        return self._identity(one) | mask | self._belonging(one)

    def _full(self, one: Occurrence) -> dict[str, Any]:
        row = one.row
        on_main = row["calendar_id"] == self.access.id
        transparency = row["copy_transparency"] or row["transparency"]
        event = self._identity(one) | {
            "status": row["status"],
            "htmlLink": self._link(one),
            "created": stamp_text(row["created"]),
            "updated": stamp_text(row["updated"]),
            **given(summary=row["summary"], description=row["description"], location=row["location"], colorId=row["color_id"]),
            "creator": self._person(row["creator_email"], is_self=row["creator_email"] == self._self_email),
            "organizer": self._person(row["organizer_email"], row["organizer_name"], is_self=on_main),
            "start": self._time(one, "start"),
            "end": self._time(one, "end"),
            **given(recurrence=None if one.virtual else loaded(row["recurrence"])),
            **self._belonging(one),
            **given(
                transparency=transparency if transparency != "opaque" else None,
                visibility=row["visibility"] if row["visibility"] != "default" else None,
            ),
            "iCalUID": row["i_cal_uid"],
            "sequence": row["sequence"],
        }
        event |= self._guests(row, on_main)
        event |= self._extensions(row)
        event["reminders"] = loaded(row["reminders"]) or {"useDefault": True}
        event["eventType"] = row["event_type"]
        return event

    def _extensions(self, row: Row) -> dict[str, Any]:
        properties = given(private=loaded(row["private_properties"]), shared=loaded(row["shared_properties"]))
        conference = loaded(row["conference_data"])
        points = (conference or {}).get("entryPoints", ())
        link = next((point.get("uri") for point in points if point.get("entryPointType") == "video"), None)
        extra = given(
            extendedProperties=properties or None,
            hangoutLink=link,
            conferenceData=conference,
            attachments=loaded(row["attachments"]),
            source=loaded(row["source"]) if row["creator_email"] == self.user.email else None,
        )
        return extra | (loaded(row["type_properties"]) or {})

    def _guests(self, row: Row, on_main: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, column, default in _GUEST_FLAGS:
            if row[column] != default:
                shown[name] = bool(row[column])
        guests = self.attendees(row["event_key"])
        if not guests:
            return shown
        if not on_main and not row["guests_can_see_other_guests"]:
            guests = [guest for guest in guests if self._is_self(guest) or guest["email"] == row["organizer_email"]]
        if self.max_attendees is not None and len(guests) > self.max_attendees:
            guests = [guest for guest in guests if self._is_self(guest)]
            shown["attendeesOmitted"] = True
        return {"attendees": [self._attendee(guest, row) for guest in guests], **shown}

    def _attendee(self, guest: Row, row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {"email": guest["email"]} | given(displayName=guest["display_name"])
        for name, true in (
            ("organizer", guest["email"] == row["organizer_email"]),
            ("self", self._is_self(guest)),
            ("resource", guest["resource"]),
            ("optional", guest["optional"]),
        ):
            if true:
                shown[name] = True
        shown["responseStatus"] = guest["response_status"]
        shown |= given(comment=guest["comment"], additionalGuests=guest["additional_guests"] or None)
        return shown

    def _is_self(self, guest: Row) -> bool:
        """Whether the guest is whom this calendar stands for."""
        return self._owner is not None and guest["user_id"] == self._owner

    @property
    def _self_email(self) -> str | None:
        email: str | None = self._owner_email if self._owner is not None else None
        return email

    def _belonging(self, one: Occurrence) -> dict[str, Any]:
        """Which series an occurrence belongs to, and where."""
        if one.original is None or one.series_id is None:
            return {}
        day = one.original_date
        if day is not None:
            original: dict[str, Any] = {"date": day}
        else:
            original = {"dateTime": shown_instant(one.original, self.zone)} | given(timeZone=one.row["start_time_zone"])
        return {"recurringEventId": one.series_id, "originalStartTime": original}

    def _time(self, one: Occurrence, which: str) -> dict[str, Any]:
        day = one.start_date if which == "start" else one.end_date
        if day is not None:
            return {"date": day}
        instant = one.start if which == "start" else one.end
        return {"dateTime": shown_instant(instant, self.zone)} | given(timeZone=one.row[f"{which}_time_zone"])

    def _link(self, one: Occurrence) -> str:
        code = base64.urlsafe_b64encode(f"{one.id} {self.access.id}".encode()).decode().rstrip("=")
        return f"https://www.google.com/calendar/event?eid={code}"

    @staticmethod
    def _person(email: str, name: str | None = None, *, is_self: bool) -> dict[str, Any]:
        return {"email": email} | given(displayName=name) | ({"self": True} if is_self else {})
