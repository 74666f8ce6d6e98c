"""Attendees, and the copies of an event on the calendars of those who have an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from calendar_env.access import Access
from calendar_env.event_values import is_email
from calendar_env.google_errors import invalid
from calendar_env.storage.store import Row, Store
from calendar_env.tools.payload import Attendee

_COLUMNS: Final = {
    "display_name": None,
    "optional": 0,
    "resource": 0,
    "response_status": "needsAction",
    "comment": None,
    "additional_guests": 0,
}
_FIELDS: Final = {
    "displayName": "display_name",
    "optional": "optional",
    "resource": "resource",
    "responseStatus": "response_status",
    "comment": "comment",
    "additionalGuests": "additional_guests",
}
_ANSWER: Final = ("response_status", "comment", "additional_guests", "display_name", "resource", "optional")


class Guests:
    """Who is invited to an event, and where it is to be seen because of that."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def of(self, key: int) -> list[Row]:
        """An event's attendees, in order."""
        return self.store.rows("SELECT * FROM attendees WHERE event_key = ? ORDER BY position", key)

    def checked(self, attendees: Sequence[Attendee]) -> list[dict[str, Any]]:
        """The columns of what was given, one row per address. Raises 400 for what is no address."""
        rows: dict[str, dict[str, Any]] = {}
        for number, guest in enumerate(attendees):
            if not is_email(guest.email):
                raise invalid(
                    f"attendees.{number}.email",
                    f"Invalid attendee email: {guest.email[:80]!r}",
                    hint="Give a full e-mail address; acl_list and other events show people's addresses.",
                    example="carol.white@techcorp.com",
                )
            given = guest.model_dump(exclude_none=True)
            row = {"email": guest.email} | {_FIELDS[name]: value for name, value in given.items() if name in _FIELDS}
            rows[guest.email.lower()] = row
        return list(rows.values())

    def complete(self, guest: Mapping[str, Any]) -> dict[str, Any]:
        """An attendee's columns with defaults and account."""
        return {**_COLUMNS, "user_id": self.store.user_id_of(guest["email"]), **guest}

    def with_answers(self, given: list[dict[str, Any]], known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The given attendees; what is not said of somebody who was invited before stays."""
        before = {guest["email"].lower(): guest for guest in known}
        wanted = []
        for guest in given:
            old = before.get(guest["email"].lower(), {})
            wanted.append(self.complete({name: old[name] for name in _ANSWER if name in old} | guest))
        return wanted

    def same(self, wanted: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> bool:
        """Whether nothing changes."""
        names = ("email", "user_id", *_COLUMNS)
        return [[guest[name] for name in names] for guest in wanted] == [[guest[name] for name in names] for guest in known]

    def replace(self, key: int, event_id: str, attendees: Sequence[Mapping[str, Any]], *, invite: bool = True) -> None:
        """Set an event's attendees; who is new gets a copy, who is gone loses it."""
        before = {guest["user_id"] for guest in self.of(key)}
        self.store.execute("DELETE FROM attendees WHERE event_key = ?", key)
        names = ("email", "user_id", *_COLUMNS)
        after: set[str | None] = set()
        for position, given in enumerate(attendees):
            guest = self.complete(given)
            after.add(guest["user_id"])
            row = {name: int(guest[name]) if isinstance(guest[name], bool) else guest[name] for name in names}
            self.store.insert("attendees", {"event_key": key, "event_id": event_id, "position": position, **row})
        main = self.store.value("SELECT calendar_id FROM events WHERE event_key = ?", key)
        if not invite:
            return
        for user_id in sorted(user for user in after - before if user):
            calendar_id = self._primary(user_id)
            if calendar_id != main:
                self.add_copy(key, calendar_id, event_id, {})
        for user_id in sorted(user for user in before - after if user):
            calendar_id = self._primary(user_id)
            if calendar_id != main:
                self._mark(key, calendar_id, cancelled=1)

    def add_copy(self, key: int, calendar_id: str, event_id: str, columns: Mapping[str, Any]) -> None:
        """Show an event on a calendar."""
        found = self.store.row("SELECT 1 FROM event_copies WHERE event_key = ? AND calendar_id = ?", key, calendar_id)
        if found is not None:
            self._mark(key, calendar_id, cancelled=0)
            return
        taken = self.store.row("SELECT 1 FROM event_copies WHERE calendar_id = ? AND event_id = ?", calendar_id, event_id)
        shown_id = self.store.new_id() if taken else event_id
        keys = {"event_key": key, "calendar_id": calendar_id, "event_id": shown_id, "change": self.store.stamp().change}
        self.store.insert("event_copies", {**columns, **keys})

    def duplicate(self, series_key: int, key: int, event_id: str, suffix: str) -> None:
        """Give an occurrence the attendees and copies of its series."""
        names = ", ".join(("email", "position", "user_id", *_COLUMNS))
        self.store.execute(
            f"INSERT INTO attendees (event_key, event_id, {names}) SELECT ?, ?, {names} FROM attendees WHERE event_key = ?",
            key,
            event_id,
            series_key,
        )
        private = "cancelled, color_id, transparency, reminders, private_properties"
        self.store.execute(
            f"""INSERT INTO event_copies (event_key, calendar_id, event_id, {private}, change)
                SELECT ?, calendar_id, event_id || '_' || ?, {private}, ? FROM event_copies WHERE event_key = ?""",
            key,
            suffix,
            self.store.stamp().change,
            series_key,
        )

    def leave(self, key: int, calendar_id: str, user_id: str) -> None:
        """Take an event off a guest's calendar; the organizer sees that the guest declined."""
        stamp = self.store.stamp()
        self._mark(key, calendar_id, cancelled=1)
        declined = {"response_status": "declined"}
        if self.store.update("attendees", declined, "event_key = ? AND user_id = ?", key, user_id):
            self.store.update("events", {"updated": stamp.now, "change": stamp.change}, "event_key = ?", key)

    def revive(self, key: int) -> None:
        """Show an event again wherever somebody is still invited to it."""
        for guest in self.of(key):
            if guest["user_id"] and guest["response_status"] != "declined":
                self._mark(key, self._primary(guest["user_id"]), cancelled=0)

    def move_copy(self, key: int, event_id: str, source: Access, target: Access) -> None:
        """Take the organizer's copy from one calendar to another; a stub stays, or a guest's copy."""
        old = self.store.row("SELECT * FROM event_copies WHERE event_key = ? AND calendar_id = ?", key, source.id)
        assert old is not None
        private = {name: old[name] for name in ("color_id", "transparency", "reminders", "private_properties")}
        stays = source.calendar["is_primary"] and any(guest["user_id"] == source.calendar["owner_id"] for guest in self.of(key))
        self._mark(key, source.id, cancelled=int(not stays))
        self.add_copy(key, target.id, event_id, private)

    def _mark(self, key: int, calendar_id: str, *, cancelled: int) -> None:
        change = {"cancelled": cancelled, "change": self.store.stamp().change}
        self.store.update(
            "event_copies", change, "event_key = ? AND calendar_id = ? AND cancelled <> ?", key, calendar_id, cancelled
        )

    def _primary(self, user_id: str) -> str:
        found: str = self.store.value("SELECT calendar_id FROM calendars WHERE owner_id = ? AND is_primary", user_id)
        return found
