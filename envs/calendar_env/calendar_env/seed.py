"""The seed world: four users, eleven calendars, who may see them, and what is in them when an episode begins."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import date, datetime
from itertools import count
from typing import Any, NamedTuple

from calendar_env.colors import CALENDAR_COLORS, FOREGROUND
from calendar_env.seed_events import SEED_EVENTS, Change, SeedEvent
from calendar_env.times import EPISODE_START, day_text, utc_text, zone
from calendar_env.users import ALICE, BOB, CAROL, DAVE, DOMAIN, SEED_USERS, SeedUser

BORN = "2025-12-15T10:00:00Z"
"""When everything in the seed world was made."""
ENGINEERS = f"eng-team@{DOMAIN}"
LEADERS = f"leadership@{DOMAIN}"
GROUPS = {ENGINEERS: (BOB, CAROL), LEADERS: (ALICE, DAVE)}


class SeedCalendar(NamedTuple):
    """A calendar; the first of its owner is the primary one."""

    calendar_id: str
    owner: SeedUser
    summary: str
    description: str
    color: str


CALENDARS = (
    SeedCalendar("alice-primary", ALICE, "Alice Manager", "", "1"),
    SeedCalendar("alice-projects", ALICE, "Project Management", "Planning of all running projects", "7"),
    SeedCalendar("alice-team", ALICE, "Team Events", "What the whole team does together", "11"),
    SeedCalendar("bob-primary", BOB, "Bob Smith", "", "2"),
    SeedCalendar("bob-development", BOB, "Bob: Development", "Builds, releases and code work", "9"),
    SeedCalendar("bob-personal", BOB, "Bob: Personal", "", "14"),
    SeedCalendar("bob-projects", BOB, "Bob: Projects", "Reviews and demos of the projects that Bob leads", "20"),
    SeedCalendar("carol-primary", CAROL, "Carol White", "", "4"),
    SeedCalendar("carol-design", CAROL, "Design Studio", "Critiques and reviews of the design team", "16"),
    SeedCalendar("dave-primary", DAVE, "Dave Brown", "", "6"),
    SeedCalendar("dave-sales", DAVE, "Sales Pipeline", "Customers, renewals and pitches", "23"),
)
PRIMARY = {ALICE: "alice-primary", BOB: "bob-primary", CAROL: "carol-primary", DAVE: "dave-primary"}

RULES: tuple[tuple[str, str, str | None, str], ...] = (
    ("alice-primary", "user", BOB.email, "reader"),
    ("alice-primary", "domain", DOMAIN, "freeBusyReader"),
    ("alice-projects", "user", BOB.email, "writer"),
    ("alice-projects", "user", CAROL.email, "reader"),
    ("alice-projects", "domain", DOMAIN, "freeBusyReader"),
    ("alice-team", "group", ENGINEERS, "reader"),
    ("alice-team", "domain", DOMAIN, "freeBusyReader"),
    ("bob-primary", "user", ALICE.email, "reader"),
    ("bob-primary", "domain", DOMAIN, "freeBusyReader"),
    ("bob-development", "user", ALICE.email, "reader"),
    ("bob-development", "group", ENGINEERS, "writerWithoutPrivateAccess"),
    ("bob-projects", "user", CAROL.email, "writer"),
    ("bob-projects", "user", DAVE.email, "reader"),
    ("carol-primary", "domain", DOMAIN, "freeBusyReader"),
    ("carol-design", "user", ALICE.email, "writer"),
    ("carol-design", "user", BOB.email, "reader"),
    ("carol-design", "default", None, "freeBusyReader"),
    ("dave-primary", "user", ALICE.email, "reader"),
    ("dave-primary", "domain", DOMAIN, "freeBusyReader"),
    ("dave-sales", "group", LEADERS, "reader"),
    ("dave-sales", "user", BOB.email, "freeBusyReader"),
)
SUBSCRIPTIONS = {
    ALICE: ("bob-development", "carol-design", "dave-sales"),
    BOB: ("alice-projects", "alice-team", "carol-design"),
    CAROL: ("alice-projects", "alice-team", "bob-projects"),
    DAVE: ("alice-team", "bob-projects"),
}

DEFAULT_SETTINGS = {
    "autoAddHangouts": "false",
    "dateFieldOrder": "MDY",
    "defaultEventLength": "60",
    "format24HourTime": "false",
    "hideInvitations": "false",
    "hideWeekends": "false",
    "locale": "en",
    "remindOnRespondedEventsOnly": "false",
    "showDeclinedEvents": "true",
    "timezone": "Etc/GMT",
    "useKeyboardShortcuts": "true",
    "weekStart": "0",
}
OWN_SETTINGS: Mapping[SeedUser, Mapping[str, str]] = {
    BOB: {"defaultEventLength": "30"},
    CAROL: {"locale": "en_GB", "dateFieldOrder": "DMY", "format24HourTime": "true", "weekStart": "1"},
}


def plant(connection: sqlite3.Connection) -> None:
    """Fill an empty database with the seed world."""
    seeder = _Seeder(connection)
    seeder.users()
    seeder.calendars()
    for event in SEED_EVENTS:
        seeder.event(event)
    seeder.insert("world", id=1, seed=0, now=utc_text(EPISODE_START), change=next(seeder.changes) - 1, next_id=1)


class _Seeder:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.changes = count(1)
        self.keys = count(1)
        self.by_email = {user.email: user for user in SEED_USERS}
        self.calendar_by_id = {calendar.calendar_id: calendar for calendar in CALENDARS}

    def insert(self, table: str, **values: Any) -> None:
        marks = ", ".join("?" * len(values))
        self.connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))

    def users(self) -> None:
        for user in SEED_USERS:
            self.insert(
                "users",
                user_id=user.user_id,
                email=user.email,
                name=user.name,
                given_name=user.given_name,
                family_name=user.family_name,
                time_zone=user.time_zone,
                access_token=user.access_token,
            )
            settings = DEFAULT_SETTINGS | {"timezone": user.time_zone} | dict(OWN_SETTINGS.get(user, {}))
            for setting, value in settings.items():
                self.insert("settings", user_id=user.user_id, setting_id=setting, value=value, change=next(self.changes))
        for group, members in GROUPS.items():
            for member in members:
                self.insert("group_members", group_email=group, user_id=member.user_id)

    def calendars(self) -> None:
        for calendar in CALENDARS:
            self.insert(
                "calendars",
                calendar_id=calendar.calendar_id,
                owner_id=calendar.owner.user_id,
                summary=calendar.summary,
                description=calendar.description or None,
                time_zone=calendar.owner.time_zone,
                is_primary=int(PRIMARY[calendar.owner] == calendar.calendar_id),
                created=BORN,
                updated=BORN,
                change=next(self.changes),
            )
            self.rule(calendar.calendar_id, "user", calendar.owner.email, "owner")
        for rule in RULES:
            self.rule(*rule)
        for user in SEED_USERS:
            own = [calendar.calendar_id for calendar in CALENDARS if calendar.owner is user]
            for calendar_id in (*own, *SUBSCRIPTIONS[user]):
                self.list_entry(user, self.calendar_by_id[calendar_id])

    def rule(self, calendar_id: str, scope_type: str, scope_value: str | None, role: str) -> None:
        user = self.by_email.get(scope_value or "") if scope_type == "user" else None
        self.insert(
            "acls",
            calendar_id=calendar_id,
            rule_id=scope_type if scope_value is None else f"{scope_type}:{scope_value}",
            scope_type=scope_type,
            scope_value=scope_value,
            user_id=user.user_id if user else None,
            role=role,
            created=BORN,
            updated=BORN,
            change=next(self.changes),
        )

    def list_entry(self, user: SeedUser, calendar: SeedCalendar) -> None:
        primary = PRIMARY[user] == calendar.calendar_id
        self.insert(
            "calendar_list",
            user_id=user.user_id,
            calendar_id=calendar.calendar_id,
            color_id=calendar.color,
            background_color=CALENDAR_COLORS[calendar.color],
            foreground_color=FOREGROUND,
            selected=1,
            default_reminders=json.dumps([{"method": "popup", "minutes": 10}] if primary else []),
            notification_settings=json.dumps({"notifications": _NOTIFICATIONS}) if primary else None,
            change=next(self.changes),
        )

    def event(self, event: SeedEvent) -> None:
        calendar = self.calendar_by_id[event.calendar]
        columns = self.columns(event, calendar)
        key = self.event_row(event, event.id, columns)
        for change in event.changes:
            self.exception(event, calendar, columns, key, change)

    def columns(self, event: SeedEvent, calendar: SeedCalendar) -> dict[str, Any]:
        owner = calendar.owner
        primary = PRIMARY[owner] == calendar.calendar_id
        return {
            "calendar_id": event.calendar,
            "i_cal_uid": f"{event.id}@google.com",
            "status": "confirmed",
            "summary": event.summary,
            "description": event.description,
            "location": event.location,
            "recurrence": json.dumps([event.recurrence]) if event.recurrence else None,
            "event_type": event.event_type,
            "visibility": event.visibility,
            "transparency": event.transparency,
            "creator_email": owner.email,
            "organizer_email": owner.email if primary else calendar.calendar_id,
            "organizer_name": owner.name if primary else calendar.summary,
            "guests_can_modify": int(event.guests_can_modify),
            "type_properties": json.dumps(event.properties) if event.properties else None,
            **_span(event.start, event.end, owner.time_zone),
        }

    def event_row(self, event: SeedEvent, event_id: str, columns: dict[str, Any]) -> int:
        key, change = next(self.keys), next(self.changes)
        made = {"created": BORN, "updated": BORN, "created_change": change, "rule_change": change, "change": change}
        self.insert("events", event_key=key, event_id=event_id, **columns, **made)
        on = [event.calendar]
        for position, guest in enumerate(event.guests):
            user = self.by_email.get(guest.email)
            if user is not None and PRIMARY[user] not in on:
                on.append(PRIMARY[user])
            self.insert(
                "attendees",
                event_key=key,
                event_id=event_id,
                email=guest.email,
                position=position,
                user_id=user.user_id if user else None,
                display_name=guest.name,
                resource=int(guest.resource),
                response_status=guest.response,
            )
        for calendar_id in on:
            color = event.color if calendar_id == event.calendar else None
            self.insert("event_copies", event_key=key, calendar_id=calendar_id, event_id=event_id, color_id=color, change=change)
        return key

    def exception(self, event: SeedEvent, calendar: SeedCalendar, columns: dict[str, Any], key: int, change: Change) -> None:
        time_zone = calendar.owner.time_zone
        length = datetime.fromisoformat(event.end) - datetime.fromisoformat(event.start)
        original_end = (datetime.fromisoformat(change.original) + length).isoformat(timespec="minutes")
        original = _span(change.original, original_end, time_zone)
        span = _span(change.start, change.end, time_zone) if change.start and change.end else original
        stamp = original["start_datetime"].replace("-", "").replace(":", "")
        changed = columns | span
        changed |= {
            "recurrence": None,
            "recurring_event_id": event.id,
            "series_key": key,
            "original_start_datetime": original["start_datetime"],
            "status": "confirmed" if change.start else "cancelled",
            "summary": change.summary or event.summary,
        }
        self.event_row(event, f"{event.id}_{stamp}", changed)


_NOTIFICATIONS = [
    {"type": kind, "method": "email"} for kind in ("eventCreation", "eventChange", "eventCancellation", "eventResponse")
]


def _span(start: str, end: str, time_zone: str) -> dict[str, Any]:
    if len(start) == len("2026-01-05"):
        days = {"start_date": start, "end_date": end}
        return days | {
            "start_datetime": day_text(date.fromisoformat(start)),
            "end_datetime": day_text(date.fromisoformat(end)),
        }
    local = zone(time_zone)
    return {
        "start_datetime": utc_text(datetime.fromisoformat(start).replace(tzinfo=local)),
        "end_datetime": utc_text(datetime.fromisoformat(end).replace(tzinfo=local)),
        "start_time_zone": time_zone,
        "end_time_zone": time_zone,
    }
