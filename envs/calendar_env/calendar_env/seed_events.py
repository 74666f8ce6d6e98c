"""The events of the seed world: three weeks of an office, Monday 2026-01-05 to Friday 2026-01-23."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calendar_env.users import ALICE, BOB, CAROL, DAVE, SeedUser

ROOM = "room-atlas@techcorp.com"


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody invited; accepted unless it says otherwise."""

    email: str
    response: str = "accepted"
    name: str | None = None
    resource: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An occurrence that differs: ``original`` is its local start; without a new start it is cancelled."""

    original: str
    start: str | None = None
    end: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class SeedEvent:
    """An event; times are local to the calendar's zone, and dates make it all-day."""

    id: str
    calendar: str
    summary: str
    start: str
    end: str
    guests: tuple[Guest, ...] = ()
    description: str | None = None
    location: str | None = None
    recurrence: str | None = None
    changes: tuple[Change, ...] = ()
    visibility: str = "default"
    transparency: str = "opaque"
    event_type: str = "default"
    color: str | None = None
    properties: dict[str, Any] | None = None
    guests_can_modify: bool = False


def _of(user: SeedUser, response: str = "accepted") -> Guest:
    return Guest(user.email, response, user.name)


alice, bob, carol, dave = _of(ALICE), _of(BOB), _of(CAROL), _of(DAVE)

ALICE_PROJECTS = (
    SeedEvent(
        "sprintplanning0106",
        "alice-projects",
        "Sprint Planning & Architecture Review",
        "2026-01-06T10:00",
        "2026-01-06T12:00",
        (alice, bob, _of(CAROL, "tentative"), Guest(ROOM, name="Room Atlas", resource=True)),
        description="Goals of sprint 14, then the architecture of the new ingest service.",
        location="Room Atlas",
        color="9",
    ),
    SeedEvent(
        "kickoff0115",
        "alice-projects",
        "Q1 Project Kickoff",
        "2026-01-15T10:00",
        "2026-01-15T11:00",
        (alice, _of(BOB, "needsAction"), _of(CAROL, "needsAction"), _of(DAVE, "declined")),
        description="Scope, owners and dates of the first quarter.",
        location="Room Atlas",
    ),
    SeedEvent(
        "riskreport0109",
        "alice-projects",
        "Risk Review",
        "2026-01-09T14:00",
        "2026-01-09T15:00",
        (alice, _of(BOB, "needsAction")),
        guests_can_modify=True,
    ),
    SeedEvent(
        "projectcall",
        "alice-projects",
        "Project Sync",
        "2026-01-07T11:00",
        "2026-01-07T11:30",
        (alice, bob, carol),
        recurrence="RRULE:FREQ=WEEKLY;COUNT=8;BYDAY=WE",
        changes=(
            Change("2026-01-14T11:00", "2026-01-15T13:00", "2026-01-15T13:30", "Project Sync (moved)"),
            Change("2026-01-21T11:00"),
        ),
    ),
    SeedEvent(
        "vendorcall0113",
        "alice-projects",
        "Vendor Call: contract terms",
        "2026-01-13T15:00",
        "2026-01-13T15:30",
        description="Walk-away price and notice period.",
        visibility="private",
    ),
)

ALICE_OTHERS = (
    SeedEvent(
        "standup",
        "alice-primary",
        "Daily Standup",
        "2026-01-05T09:30",
        "2026-01-05T09:45",
        (alice, bob, carol),
        recurrence="RRULE:FREQ=WEEKLY;UNTIL=20260124T045959Z;BYDAY=MO,TU,WE,TH,FR",
        changes=(Change("2026-01-09T09:30"), Change("2026-01-12T09:30", "2026-01-12T10:00", "2026-01-12T10:15")),
    ),
    SeedEvent(
        "oneononebob",
        "alice-primary",
        "1:1 Alice / Bob",
        "2026-01-05T15:00",
        "2026-01-05T15:30",
        (alice, bob),
        recurrence="RRULE:FREQ=WEEKLY;BYDAY=MO",
        changes=(Change("2026-01-19T15:00"),),
    ),
    SeedEvent(
        "oneononecarol",
        "alice-primary",
        "1:1 Alice / Carol",
        "2026-01-06T09:00",
        "2026-01-06T09:30",
        (alice, carol),
        recurrence="RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TU",
    ),
    SeedEvent("dentist0108", "alice-primary", "Dentist", "2026-01-08T16:00", "2026-01-08T17:00", visibility="private"),
    SeedEvent(
        "budget0107",
        "alice-primary",
        "Budget Review",
        "2026-01-07T11:00",
        "2026-01-07T12:00",
        (alice, _of(DAVE, "tentative")),
        description="Spending against plan; overlaps with the project sync.",
    ),
    SeedEvent("lunchdave0112", "alice-primary", "Lunch with Dave", "2026-01-12T12:00", "2026-01-12T13:00", (alice, dave)),
    SeedEvent(
        "focus0108",
        "alice-primary",
        "Focus: roadmap",
        "2026-01-08T13:00",
        "2026-01-08T15:00",
        event_type="focusTime",
        properties={"focusTimeProperties": {"autoDeclineMode": "declineNone", "chatStatus": "doNotDisturb"}},
    ),
    SeedEvent(
        "offsite0120", "alice-primary", "Leadership Offsite", "2026-01-20", "2026-01-22", (alice, dave), location="Hudson Lodge"
    ),
    SeedEvent("teamlunch0116", "alice-team", "Team Lunch", "2026-01-16T12:00", "2026-01-16T13:30", (alice, bob, carol, dave)),
    SeedEvent(
        "retro",
        "alice-team",
        "Sprint Retrospective",
        "2026-01-09T15:00",
        "2026-01-09T16:00",
        (alice, bob, carol),
        recurrence="RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=6;BYDAY=FR",
    ),
    SeedEvent("closed0119", "alice-team", "Company Holiday", "2026-01-19", "2026-01-20", transparency="transparent"),
    SeedEvent(
        "carolcake0122",
        "alice-team",
        "Carol's Birthday",
        "2026-01-22",
        "2026-01-23",
        recurrence="RRULE:FREQ=YEARLY",
        transparency="transparent",
    ),
)

BOB_EVENTS = (
    SeedEvent("release0108", "bob-primary", "Release 2.4 Cut", "2026-01-08T10:00", "2026-01-08T11:00", color="11"),
    SeedEvent(
        "candidate0114",
        "bob-primary",
        "Candidate Interview",
        "2026-01-14T13:00",
        "2026-01-14T14:00",
        (bob, _of(ALICE, "tentative")),
        description="Backend role, second round.",
    ),
    SeedEvent(
        "homeoffice0107",
        "bob-primary",
        "Home",
        "2026-01-07",
        "2026-01-08",
        transparency="transparent",
        visibility="public",
        event_type="workingLocation",
        properties={"workingLocationProperties": {"type": "homeOffice", "homeOffice": {}}},
    ),
    SeedEvent(
        "apimigration",
        "bob-projects",
        "API Migration Review",
        "2026-01-08T14:00",
        "2026-01-08T15:00",
        (bob, carol),
        recurrence="RRULE:FREQ=WEEKLY;COUNT=4;BYDAY=TH",
    ),
    SeedEvent("designrev0113", "bob-projects", "Design Review", "2026-01-13T10:00", "2026-01-13T11:00", (bob, carol)),
    SeedEvent(
        "demo0116",
        "bob-projects",
        "Customer Demo",
        "2026-01-16T09:00",
        "2026-01-16T10:00",
        (bob, dave, Guest("jordan@globex.example", "needsAction", "Jordan Lee")),
    ),
    SeedEvent(
        "deepfocus0107",
        "bob-development",
        "Deep work: query planner",
        "2026-01-07T09:00",
        "2026-01-07T12:00",
        visibility="private",
    ),
    SeedEvent("codestop0122", "bob-development", "Code Freeze", "2026-01-22", "2026-01-24"),
    SeedEvent(
        "rollout",
        "bob-development",
        "Deploy Window",
        "2026-01-06T16:00",
        "2026-01-06T17:00",
        recurrence="RRULE:FREQ=WEEKLY;BYDAY=TU",
    ),
    SeedEvent(
        "fitness",
        "bob-personal",
        "Gym",
        "2026-01-05T07:00",
        "2026-01-05T08:00",
        recurrence="RRULE:FREQ=WEEKLY;BYDAY=MO,WE,FR",
        visibility="private",
    ),
    SeedEvent("school0109", "bob-personal", "School concert", "2026-01-09T17:00", "2026-01-09T18:30", visibility="private"),
)

CAROL_EVENTS = (
    SeedEvent(
        "ooo0112",
        "carol-primary",
        "Out of office",
        "2026-01-12T00:00",
        "2026-01-14T00:00",
        event_type="outOfOffice",
        properties={
            "outOfOfficeProperties": {
                "autoDeclineMode": "declineOnlyNewConflictingInvitations",
                "declineMessage": "I am away until Wednesday.",
            }
        },
    ),
    SeedEvent("usertest0121", "carol-primary", "Usability Testing", "2026-01-21T10:00", "2026-01-21T13:00", location="Lab 2"),
    SeedEvent(
        "designcrit",
        "carol-design",
        "Design Critique",
        "2026-01-07T14:00",
        "2026-01-07T15:00",
        (carol, bob),
        recurrence="RRULE:FREQ=WEEKLY;COUNT=6;BYDAY=WE",
        changes=(Change("2026-01-14T14:00", "2026-01-14T16:00", "2026-01-14T17:00"),),
    ),
    SeedEvent(
        "designrev0115",
        "carol-design",
        "Design Review",
        "2026-01-15T15:00",
        "2026-01-15T16:00",
        (carol, _of(ALICE, "needsAction")),
        description="The new onboarding, second pass.",
    ),
)

DAVE_EVENTS = (
    SeedEvent(
        "forecast",
        "dave-primary",
        "Forecast Call",
        "2026-01-05T10:00",
        "2026-01-05T11:00",
        (dave, alice),
        recurrence="RRULE:FREQ=WEEKLY;BYDAY=MO",
    ),
    SeedEvent("flight0113", "dave-primary", "Flight to Denver", "2026-01-13T06:00", "2026-01-13T09:00", visibility="private"),
    SeedEvent(
        "cake0118",
        "dave-primary",
        "Dave's birthday",
        "2026-01-18",
        "2026-01-19",
        recurrence="RRULE:FREQ=YEARLY",
        transparency="transparent",
        visibility="private",
        event_type="birthday",
        properties={"birthdayProperties": {"type": "self"}},
    ),
    SeedEvent(
        "pipeline",
        "dave-sales",
        "Pipeline Review",
        "2026-01-06T13:00",
        "2026-01-06T14:00",
        (dave, alice),
        recurrence="RRULE:FREQ=WEEKLY;COUNT=3;BYDAY=TU",
    ),
    SeedEvent("acmeprep0113", "dave-sales", "Acme Renewal Prep", "2026-01-13T16:00", "2026-01-13T16:30", (dave,)),
    SeedEvent(
        "acme0114",
        "dave-sales",
        "Acme Renewal",
        "2026-01-14T11:00",
        "2026-01-14T12:00",
        (dave, Guest("pat@acme.example", "accepted", "Pat Quinn")),
        location="Acme HQ",
    ),
    SeedEvent(
        "globe0120",
        "dave-sales",
        "Globex Pitch",
        "2026-01-20T14:00",
        "2026-01-20T15:30",
        (dave, _of(BOB, "needsAction"), Guest("jordan@globex.example", "needsAction", "Jordan Lee")),
    ),
)

SEED_EVENTS = (*ALICE_PROJECTS, *ALICE_OTHERS, *BOB_EVENTS, *CAROL_EVENTS, *DAVE_EVENTS)
