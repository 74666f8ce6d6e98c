"""Changing events: one row per event, a copy on the calendar of everyone who is invited, and who may change what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from calendar_env.access import Access
from calendar_env.event_values import (
    COPY_DEFAULTS,
    ORGANIZERS_ONLY,
    SHARED_DEFAULTS,
    check_recurrence,
    copy_columns,
    recurrence,
    shared_columns,
    span,
)
from calendar_env.google_errors import CalendarError, deleted, denied
from calendar_env.guests import Guests
from calendar_env.occurrences import EVENT_ON_CALENDAR, Occurrence, series_of, stored
from calendar_env.storage.store import Row, Store, User
from calendar_env.times import from_utc_text
from calendar_env.tools.payload import EventTime

_OWN_COLUMNS = frozenset({"event_key", "event_id", "recurrence", "series_key", "recurring_event_id"})
_PRIVACY = ("public", "default", "private", "confidential")


class EventWriter:
    """Writes events for one user, inside the transaction of one tool call."""

    def __init__(self, store: Store, user: User) -> None:
        self.store = store
        self.user = user
        self.guests = Guests(store)

    # ── new events ───────────────────────────────────────────────────────────────────────────────────────────────

    def create(
        self,
        access: Access,
        event_id: str,
        columns: Mapping[str, Any],
        copy: Mapping[str, Any],
        attendees: Sequence[Mapping[str, Any]],
        *,
        invite: bool = True,
    ) -> int:
        """A new event on a calendar, and its copies. Returns its key."""
        stamp = self.store.stamp()
        calendar = access.calendar
        organizer, name = self.organizer_of(calendar)
        row = {
            "event_id": event_id,
            "calendar_id": access.id,
            "i_cal_uid": f"{event_id}@google.com",
            "creator_email": self.user.email,
            "organizer_email": organizer,
            "organizer_name": name,
            **SHARED_DEFAULTS,
            **columns,
            "created": stamp.now,
            "updated": stamp.now,
            "created_change": stamp.change,
            "rule_change": stamp.change,
            "change": stamp.change,
        }
        key = self.store.insert("events", row)
        self.guests.add_copy(key, access.id, event_id, copy)
        self.guests.replace(key, event_id, attendees, invite=invite)
        return key

    def organizer_of(self, calendar: Row) -> tuple[str, str]:
        """Who organizes what is made on a calendar: its user on a primary one, else the calendar itself."""
        if not calendar["is_primary"]:
            return calendar["calendar_id"], calendar["summary"]
        owner = self.store.row("SELECT email, name FROM users WHERE user_id = ?", calendar["owner_id"])
        assert owner is not None
        return owner["email"], owner["name"]

    def own_row(self, one: Occurrence) -> Occurrence:
        """The occurrence with a row of its own: made now, where it was only its series' until here."""
        if not one.virtual:
            return one
        stamp = self.store.stamp()
        row, key = one.row, one.row["event_key"]
        names = [name for name in self._event_columns() if name not in _OWN_COLUMNS]
        suffix = one.id.rpartition("_")[2]
        made = {name: row[name] for name in names} | {
            "event_id": f"{row['event_id']}_{suffix}",
            "recurring_event_id": row["event_id"],
            "series_key": key,
            "start_datetime": one.start,
            "end_datetime": one.end,
            "start_date": one.start_date,
            "end_date": one.end_date,
            "original_start_datetime": one.original,
            "original_start_date": one.original_date,
            "created_change": stamp.change,
            "rule_change": stamp.change,
            "change": stamp.change,
        }
        own = self.store.insert("events", made)
        self.guests.duplicate(key, own, made["event_id"], suffix)
        return self.again(own, row["on_calendar"])

    def again(self, key: int, calendar_id: str) -> Occurrence:
        """An event as it is now on a calendar."""
        row = self.store.row(EVENT_ON_CALENDAR + " WHERE c.event_key = ? AND c.calendar_id = ?", key, calendar_id)
        assert row is not None
        return stored(row)

    def _event_columns(self) -> list[str]:
        return [row["name"] for row in self.store.rows("SELECT name FROM pragma_table_info('events')")]

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def change(self, one: Occurrence, access: Access, fields: Mapping[str, Any], *, replace: bool = False) -> Occurrence:
        """Change an event, as events.patch (``replace``: as events.update) does. Raises 400, 403 or 410."""
        on_main = one.row["calendar_id"] == access.id
        revived = fields.get("status") in ("confirmed", "tentative")
        if one.cancelled and not (revived and on_main):
            raise deleted("eventId")
        if fields.get("status") == "cancelled":
            one = self.own_row(one)
            self.cancel(one, access, fields)
            return self.again(one.row["event_key"], access.id)
        shared = self._shared(one, access, fields, replace=replace and on_main)
        copy = self._copy(one, fields, replace=replace, on_main=on_main)
        if not on_main:
            self._check_guest(one.row, shared)
        attendees = self._attendees(one, access, fields, replace=replace and on_main)
        if not shared and not copy and attendees is None:
            return one
        one = self.own_row(one)
        self._more_private(one, shared)
        self._write(one, access, shared, copy)
        if attendees is not None:
            self._write_attendees(one, attendees)
        if shared or attendees is not None:
            self.notify("update", one.row["event_key"], access.id, fields.get("sendUpdates"))
        return self.again(one.row["event_key"], access.id)

    def _shared(self, one: Occurrence, access: Access, fields: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
        """The shared columns that change."""
        row = one.row
        columns = shared_columns(fields, None if replace else row)
        if replace:
            columns = {**SHARED_DEFAULTS, **columns}
        if row["calendar_id"] != access.id:
            columns.pop("transparency", None)
        in_series = one.original is not None
        columns |= self._times(one, access, fields)
        if "recurrence" in fields and not in_series:
            start = fields.get("start") or EventTime(timeZone=row["start_time_zone"])
            columns["recurrence"] = recurrence(fields["recurrence"], start, {**dict(row), **columns})
        elif in_series:
            columns.pop("recurrence", None)
        elif row["recurrence"] is not None and "recurrence" not in columns and "start_datetime" in columns:
            check_recurrence(json.loads(row["recurrence"]), {**dict(row), **columns})
        before = {"start_datetime": one.start, "end_datetime": one.end, "start_date": one.start_date, "end_date": one.end_date}
        return {name: value for name, value in columns.items() if before.get(name, row[name]) != value}

    def _times(self, one: Occurrence, access: Access, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of start and end, where one of them is given; the other stays as it is."""
        given = {name: fields[name] for name in ("start", "end") if fields.get(name) is not None}
        if not given:
            return {}
        known = {
            "start": _time(one.start, one.start_date, one.row["start_time_zone"]),
            "end": _time(one.end, one.end_date, one.row["end_time_zone"]),
        }
        for name, value in given.items():
            if value.date is None and value.dateTime is None and value.timeZone is not None:
                given[name] = known[name].model_copy(update={"timeZone": value.timeZone})
        return span(**(known | given), calendar_zone=access.calendar["time_zone"])

    @staticmethod
    def _copy(one: Occurrence, fields: Mapping[str, Any], *, replace: bool, on_main: bool) -> dict[str, Any]:
        """The columns of this calendar's copy that change."""
        columns = copy_columns(fields, None if replace else one.row)
        if replace:
            columns = {**COPY_DEFAULTS, **columns}
        if not on_main and "transparency" in fields:
            columns["transparency"] = fields["transparency"]
        known = {"transparency": "copy_transparency"}
        return {name: value for name, value in columns.items() if one.row[known.get(name, name)] != value}

    @staticmethod
    def _check_guest(row: Row, shared: Mapping[str, Any]) -> None:
        """What a guest may change of what all see: nothing, or all but the organizer's part, as the event says."""
        if shared and (not row["guests_can_modify"] or ORGANIZERS_ONLY & set(shared)):
            raise for_organizers(row)

    def _attendees(
        self, one: Occurrence, access: Access, fields: Mapping[str, Any], *, replace: bool
    ) -> list[dict[str, Any]] | None:
        """The attendees as they are to be; ``None`` when they stay."""
        if "attendees" not in fields:
            return [] if replace and self.guests.of(one.row["event_key"]) else None
        given = self.guests.checked(fields["attendees"] or ())
        known = [dict(guest) for guest in self.guests.of(one.row["event_key"])]
        if one.row["calendar_id"] == access.id and not fields.get("attendeesOmitted"):
            wanted = self.guests.with_answers(given, known)
        else:
            wanted = self._as_guest(one.row, access, given, known, only_answer=bool(fields.get("attendeesOmitted")))
        return None if self.guests.same(wanted, known) else wanted

    def _as_guest(
        self, row: Row, access: Access, given: list[dict[str, Any]], known: list[dict[str, Any]], *, only_answer: bool
    ) -> list[dict[str, Any]]:
        """The attendees after a guest's change: the own answer, and more guests where the event allows them."""
        owner = access.calendar["owner_id"]
        wanted = {guest["email"].lower(): dict(guest) for guest in known}
        for guest in given:
            email = guest["email"].lower()
            if email in wanted and wanted[email]["user_id"] == owner:
                wanted[email] |= {
                    name: guest[name] for name in ("response_status", "comment", "additional_guests") if name in guest
                }
            elif email not in wanted and not only_answer:
                if not (row["guests_can_invite_others"] or row["guests_can_modify"]):
                    raise for_organizers(row)
                wanted[email] = self.guests.complete(guest)
        # A guest cannot uninvite anybody, so a list of the own answer alone is that answer.
        if row["guests_can_modify"] and row["guests_can_see_other_guests"] and not only_answer:
            kept = {guest["email"].lower() for guest in given}
            wanted = {email: guest for email, guest in wanted.items() if email in kept or guest["user_id"] == owner}
        return list(wanted.values())

    def _more_private(self, one: Occurrence, shared: dict[str, Any]) -> None:
        """An occurrence that becomes more private takes its series along; less private is ignored."""
        wanted, key = shared.get("visibility"), one.row["series_key"]
        if wanted is None or key is None:
            return
        if _PRIVACY.index(wanted) < _PRIVACY.index(one.row["visibility"]):
            del shared["visibility"]
            return
        stamp = self.store.stamp()
        changed = {"visibility": wanted, "updated": stamp.now, "change": stamp.change}
        self.store.update("events", changed, "event_key = ? OR series_key = ?", key, key)

    def _write(self, one: Occurrence, access: Access, shared: dict[str, Any], copy: dict[str, Any]) -> None:
        key, stamp = one.row["event_key"], self.store.stamp()
        if shared:
            moved = {"start_datetime", "end_datetime", "recurrence", "start_date"} & set(shared)
            changed = shared | {"updated": stamp.now, "change": stamp.change}
            if moved:
                changed |= {"sequence": one.row["sequence"] + 1, "rule_change": stamp.change}
            self.store.update("events", changed, "event_key = ?", key)
            if "status" in shared and one.row["status"] == "cancelled":
                self.guests.revive(key)
            if "recurrence" in shared:
                self._drop_exceptions(key, access.id)
            elif one.row["recurrence"] is not None:
                self._pass_on(one.row, shared)
        if copy:
            self.store.update(
                "event_copies", copy | {"change": stamp.change}, "event_key = ? AND calendar_id = ?", key, access.id
            )

    def _pass_on(self, series: Row, shared: Mapping[str, Any]) -> None:
        """Exceptions follow their series in what they did not change themselves."""
        stamp = self.store.stamp()
        skipped = {"recurrence", "status"} | {name for name in shared if name.startswith(("start_", "end_"))}
        for name in set(shared) - skipped:
            sql = f"series_key = ? AND {name} IS ? AND status <> 'cancelled'"
            changed = {name: shared[name], "updated": stamp.now, "change": stamp.change}
            self.store.update("events", changed, sql, series["event_key"], series[name])

    def _drop_exceptions(self, key: int, calendar_id: str) -> None:
        """Exceptions that no longer belong to their series are lost."""
        series = self.again(key, calendar_id).row
        stamp = self.store.stamp()
        known = None if series["recurrence"] is None else series_of(series)
        for row in self.store.rows("SELECT * FROM events WHERE series_key = ? AND status <> 'cancelled'", key):
            if known is None or not known.has(from_utc_text(row["original_start_datetime"])):
                gone = {"status": "cancelled", "updated": stamp.now, "change": stamp.change}
                self.store.update("events", gone, "event_key = ?", row["event_key"])

    def _write_attendees(self, one: Occurrence, attendees: list[dict[str, Any]]) -> None:
        row = one.row
        before = {guest["email"].lower() for guest in self.guests.of(row["event_key"])}
        self.guests.replace(row["event_key"], row["event_id"], attendees)
        self._touch("event_key = ?", row["event_key"])
        after = {guest["email"].lower(): guest for guest in attendees}
        if row["recurrence"] is None or before == set(after):
            return
        for exception in self.store.rows("SELECT event_key, event_id FROM events WHERE series_key = ?", row["event_key"]):
            known = {guest["email"].lower(): dict(guest) for guest in self.guests.of(exception["event_key"])}
            merged = [guest for email, guest in known.items() if email not in before or email in after]
            merged += [guest for email, guest in after.items() if email not in before and email not in known]
            self.guests.replace(exception["event_key"], exception["event_id"], merged)

    def _touch(self, where: str, *keys: Any) -> None:
        stamp = self.store.stamp()
        self.store.update("events", {"updated": stamp.now, "change": stamp.change}, where, *keys)

    # ── deleting and moving ──────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, one: Occurrence, access: Access, fields: Mapping[str, Any]) -> None:
        """Delete an event or an occurrence from a calendar: for everyone on the organizer's, else for its user alone."""
        if one.cancelled:
            raise deleted("eventId")
        one = self.own_row(one)
        key, stamp = one.row["event_key"], self.store.stamp()
        if one.row["calendar_id"] == access.id:
            gone = {"status": "cancelled", "updated": stamp.now, "change": stamp.change}
            self.store.update("events", gone, "(event_key = ? OR series_key = ?) AND status <> 'cancelled'", key, key)
            self.notify("cancellation", key, access.id, fields.get("sendUpdates"))
            return
        for row in self.store.rows("SELECT event_key FROM events WHERE event_key = ? OR series_key = ?", key, key):
            self.guests.leave(row["event_key"], access.id, access.calendar["owner_id"])
        self.notify("response", key, access.id, fields.get("sendUpdates"))

    def clear(self, calendar_id: str) -> None:
        """Delete every event of a calendar: its own for everyone, invitations by declining them."""
        stamp = self.store.stamp()
        gone: dict[str, Any] = {"status": "cancelled", "updated": stamp.now, "change": stamp.change}
        self.store.update("events", gone, "calendar_id = ? AND status <> 'cancelled'", calendar_id)
        owner = self.store.value("SELECT owner_id FROM calendars WHERE calendar_id = ?", calendar_id)
        sql = """SELECT event_key FROM event_copies JOIN events USING (event_key)
            WHERE event_copies.calendar_id = ? AND events.calendar_id <> ? AND NOT cancelled"""
        for row in self.store.rows(sql, calendar_id, calendar_id):
            self.guests.leave(row["event_key"], calendar_id, owner)

    def move(self, one: Occurrence, source: Access, target: Access) -> None:
        """Give an event, with its exceptions, to another calendar, which becomes its organizer."""
        stamp = self.store.stamp()
        email, name = self.organizer_of(target.calendar)
        key = one.row["event_key"]
        for row in self.store.rows("SELECT event_key, event_id FROM events WHERE event_key = ? OR series_key = ?", key, key):
            self.guests.move_copy(row["event_key"], row["event_id"], source, target)
        changed: dict[str, Any] = {"calendar_id": target.id, "organizer_email": email, "organizer_name": name}
        changed |= {"updated": stamp.now, "change": stamp.change}
        self.store.update("events", changed, "event_key = ? OR series_key = ?", key, key)

    def notify(self, kind: str, key: int, calendar_id: str, send_updates: str | None) -> None:
        """Record who would be mailed about an event."""
        if send_updates in (None, "none"):
            return
        guests = self.guests.of(key)
        outside = send_updates == "externalOnly"
        told = [g["email"] for g in guests if g["email"] != self.user.email and not (outside and g["user_id"])]
        event_id = self.store.value("SELECT event_id FROM events WHERE event_key = ?", key)
        self.store.post(kind, told, calendar_id, event_id)


def for_organizers(row: Row) -> CalendarError:
    """The refusal of a guest who wants to change the organizer's part."""
    return denied(
        "forbiddenForNonOrganizer",
        "Shared properties can only be changed by the organizer of the event.",
        hint=f"The organizer is {row['organizer_email']}; a guest may change the own response, colour and reminders.",
        location="eventId",
    )


def _time(instant: str, day: str | None, zone: str | None) -> EventTime:
    return EventTime(date=day) if day is not None else EventTime(dateTime=instant, timeZone=zone)
