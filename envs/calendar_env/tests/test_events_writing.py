from __future__ import annotations

from typing import Any

import pytest

from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE

PRIMARY = {"calendarId": "primary"}
WHEN = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}
WEEKLY = {
    "start": {"dateTime": "2026-02-02T10:00:00", "timeZone": "America/New_York"},
    "end": {"dateTime": "2026-02-02T11:00:00", "timeZone": "America/New_York"},
    "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=4"],
}


def reason(error: dict[str, Any]) -> tuple[int, str]:
    envelope = error["google"]["error"]
    return envelope["code"], envelope["errors"][0]["reason"]


def insert(gym: LocalGym, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = gym.call(ALICE, "events_insert", **{**PRIMARY, **WHEN, **fields})
    return made


def times(event: dict[str, Any]) -> tuple[str, str]:
    return event["start"]["dateTime"], event["end"]["dateTime"]


# Inserting.


def test_an_insert_answers_with_the_resource(gym: LocalGym) -> None:
    made = insert(gym, summary="AI Research Sync", description="Weekly", location="Room Atlas", colorId="5")
    assert made["status"] == "confirmed"
    assert made["created"] == made["updated"] == "2026-01-05T09:00:01.000Z"
    assert times(made) == ("2026-01-15T09:00:00-05:00", "2026-01-15T10:00:00-05:00")
    assert gym.call(ALICE, "events_get", eventId=made["id"], **PRIMARY) == made
    assert gym.rows("SELECT start_datetime, end_datetime FROM events WHERE event_id = ?", made["id"]) == [
        ("2026-01-15T14:00:00Z", "2026-01-15T15:00:00Z")
    ]


def test_on_a_secondary_calendar_the_calendar_is_the_organizer(gym: LocalGym) -> None:
    made = gym.call(BOB, "events_insert", calendarId="alice-projects", summary="x", **WHEN)
    assert made["organizer"] == {"email": "alice-projects", "displayName": "Project Management", "self": True}
    assert made["creator"] == {"email": BOB.email}


def test_local_time_with_a_zone(gym: LocalGym) -> None:
    zoned = {"dateTime": "2026-07-01T09:00:00", "timeZone": "Europe/London"}
    made = insert(gym, start=zoned, end={**zoned, "dateTime": "2026-07-01T10:00:00"})
    assert times(made)[0] == "2026-07-01T04:00:00-04:00"
    assert made["start"]["timeZone"] == "Europe/London"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ({"dateTime": "2026-01-15T14:00:00"}, {"dateTime": "2026-01-15T15:00:00"}, (400, "required")),
        ({}, {"dateTime": "2026-01-15T15:00:00Z"}, (400, "required")),
        ({"date": "2026-01-15"}, {"dateTime": "2026-01-15T15:00:00Z"}, (400, "invalid")),
        ({"date": "2026-01-15"}, {"date": "2026-01-15"}, (400, "timeRangeEmpty")),
        ({"dateTime": "2026-01-15T14:00:00Z"}, {"dateTime": "2026-01-15T13:00:00Z"}, (400, "timeRangeEmpty")),
        ({"dateTime": "15 January"}, {"dateTime": "2026-01-15T15:00:00Z"}, (400, "invalid")),
        ({"dateTime": "2026-01-15T14:00:00", "timeZone": "Mars/Base"}, {"dateTime": "2026-01-15T15:00:00Z"}, (400, "invalid")),
        ({"date": "2026-13-01"}, {"date": "2026-13-02"}, (400, "invalid")),
        ({"dateTime": "0001-01-01T00:00:00Z"}, {"dateTime": "0001-01-01T01:00:00Z"}, (400, "invalid")),
        ({"date": "2026-01-15", "dateTime": "2026-01-15T14:00:00Z"}, {"date": "2026-01-16"}, (400, "invalid")),
    ],
)
def test_times_that_make_no_sense_are_refused(gym: LocalGym, start: Any, end: Any, expected: Any) -> None:
    assert reason(gym.refusal(ALICE, "events_insert", calendarId="primary", start=start, end=end)) == expected


def test_an_event_may_last_no_time(gym: LocalGym) -> None:
    assert insert(gym, end=WHEN["start"])["end"] == insert(gym)["start"]


def test_own_ids(gym: LocalGym) -> None:
    assert insert(gym, id="kickoff2026")["id"] == "kickoff2026"
    assert reason(gym.refusal(ALICE, "events_insert", id="kickoff2026", **PRIMARY, **WHEN)) == (409, "duplicate")
    gym.call(ALICE, "events_delete", eventId="kickoff2026", **PRIMARY)
    assert reason(gym.refusal(ALICE, "events_insert", id="kickoff2026", **PRIMARY, **WHEN)) == (409, "duplicate")
    assert insert(gym, calendarId="alice-team", id="kickoff2026")["id"] == "kickoff2026"
    for bad in ("xyz99", "abc", "UPPER", "a b c d e", "'; DROP TABLE events", "a" * 1025):
        assert reason(gym.refusal(ALICE, "events_insert", id=bad, **PRIMARY, **WHEN)) == (400, "invalid")
    both = {"id": "kickoff2027", "iCalUID": "a@b"}
    assert gym.refusal(ALICE, "events_insert", **both, **PRIMARY, **WHEN)["field"] == "id"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"colorId": "12"}, "colorId"),
        ({"status": "cancelled"}, "status"),
        ({"attendees": [{"email": "Bob"}]}, "attendees.0.email"),
        ({"attendees": [{"name": "Bob"}]}, "attendees.0.email"),
        ({"attendees": ["bob.smith@techcorp.com"]}, "attendees.0"),
        ({"attendees": [{"email": BOB.email, "responseStatus": "yes"}]}, "attendees.0.responseStatus"),
        ({"attendees": [{"email": BOB.email, "additionalGuests": 10**30}]}, "attendees.0.additionalGuests"),
        (
            {"reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 40321}]}},
            "reminders.overrides.0.minutes",
        ),
        ({"reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 1}] * 6}}, "reminders.overrides"),
        ({"reminders": {"useDefault": True, "overrides": [{"method": "popup", "minutes": 1}]}}, "reminders"),
        ({"source": {"url": "javascript:alert(1)"}}, "source.url"),
        ({"extendedProperties": {"secret": {}}}, "extendedProperties"),
        ({"extendedProperties": {"private": {"a": 1}}}, "extendedProperties.private"),
        ({"extendedProperties": {"private": []}}, "extendedProperties.private"),
        ({"recurrence": ["RRULE:FREQ=DAILY"]}, "start.timeZone"),
        ({"visibility": "secret"}, "visibility"),
        ({"start": "2026-01-15T14:00:00Z"}, "start"),
        ({"supportsAttachments": True, "attachments": [{"title": "x"}]}, "attachments"),
        ({"conferenceDataVersion": 1, "conferenceData": {"x": 1}}, "conferenceData"),
        ({"conferenceDataVersion": 1, "conferenceData": {"createRequest": 1}}, "conferenceData.createRequest"),
        ({"conferenceDataVersion": 1, "conferenceData": {"entryPoints": [1]}}, "conferenceData.entryPoints"),
        ({"unknown": 1}, "unknown"),
        ({"summary": "x" * 1025}, "summary"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(gym: LocalGym, fields: dict[str, Any], field: str) -> None:
    error = gym.refusal(ALICE, "events_insert", **{**PRIMARY, **WHEN, **fields})
    assert (error["code"], error["field"]) == ("INVALID_ARGUMENTS", field)
    assert error["google"]["error"]["code"] == 400


def test_what_an_event_may_carry(gym: LocalGym) -> None:
    made = insert(
        gym,
        extendedProperties={"private": {"ticket": "42"}, "shared": {"project": "alpha"}},
        source={"title": "Ticket", "url": "https://example.com/42"},
        reminders={"useDefault": False, "overrides": [{"method": "email", "minutes": 60}]},
        attachments=[{"fileUrl": "https://example.com/a.pdf", "title": "A"}],
        supportsAttachments=True,
        guestsCanModify=True,
        guestsCanInviteOthers=False,
        transparency="transparent",
        conferenceDataVersion=1,
        conferenceData={"createRequest": {"requestId": "r1", "conferenceSolutionKey": {"type": "hangoutsMeet"}}},
    )
    assert made["extendedProperties"] == {"private": {"ticket": "42"}, "shared": {"project": "alpha"}}
    assert made["source"]["url"] == "https://example.com/42"
    assert made["reminders"]["overrides"] == [{"method": "email", "minutes": 60}]
    assert made["attachments"][0]["title"] == "A"
    assert (made["guestsCanModify"], made["guestsCanInviteOthers"], made["transparency"]) == (True, False, "transparent")
    assert made["hangoutLink"] == made["conferenceData"]["entryPoints"][0]["uri"]
    assert "conferenceData" not in insert(gym, conferenceData={"createRequest": {"requestId": "r1"}})
    assert "attachments" not in insert(gym, attachments=[{"fileUrl": "https://example.com/a.pdf"}])


def test_status_events_live_on_primary_calendars(gym: LocalGym) -> None:
    away = {"eventType": "outOfOffice", "outOfOfficeProperties": {"autoDeclineMode": "declineNone"}}
    assert insert(gym, **away)["eventType"] == "outOfOffice"
    wrong = gym.refusal(ALICE, "events_insert", calendarId="alice-team", **away, **WHEN)
    assert reason(wrong) == (400, "malformedOutOfOfficeEvent")
    days = {"start": {"date": "2026-01-15"}, "end": {"date": "2026-01-16"}}
    assert reason(gym.refusal(ALICE, "events_insert", eventType="focusTime", **PRIMARY, **days)) == (
        400,
        "malformedFocusTimeEvent",
    )
    home = {"eventType": "workingLocation", "workingLocationProperties": {"type": "homeOffice", "homeOffice": {}}}
    assert insert(gym, **home, **days)["transparency"] == "transparent"
    assert reason(gym.refusal(ALICE, "events_insert", eventType="workingLocation", **PRIMARY, **days)) == (
        400,
        "malformedWorkingLocationEvent",
    )
    mixed = {"eventType": "default", "focusTimeProperties": {}}
    assert gym.refusal(ALICE, "events_insert", **mixed, **PRIMARY, **WHEN)["field"] == "focusTimeProperties"
    bad = {"eventType": "focusTime", "focusTimeProperties": {"chatStatus": []}}
    assert gym.refusal(ALICE, "events_insert", **bad, **PRIMARY, **WHEN)["field"] == "focusTimeProperties.chatStatus"


# Changing.


def test_patch_changes_what_is_given_and_null_clears(gym: LocalGym) -> None:
    made = insert(gym, summary="One", description="Two", location="Three", colorId="5")
    patched = gym.call(ALICE, "events_patch", eventId=made["id"], summary="Uno", location=None, **PRIMARY)
    assert (patched["summary"], patched["description"], "location" in patched) == ("Uno", "Two", False)
    assert patched["etag"] != made["etag"]
    assert patched["updated"] > made["updated"]
    assert times(patched) == times(made)
    later = gym.call(ALICE, "events_patch", eventId=made["id"], end={"dateTime": "2026-01-15T16:00:00Z"}, **PRIMARY)
    assert times(later) == (times(made)[0], "2026-01-15T11:00:00-05:00")
    assert later["sequence"] == made["sequence"] + 1


def test_update_clears_what_is_not_given(gym: LocalGym) -> None:
    made = insert(gym, summary="One", description="Two", colorId="5", attendees=[{"email": BOB.email}], guestsCanModify=True)
    updated = gym.call(ALICE, "events_update", eventId=made["id"], summary="Uno", **PRIMARY, **WHEN)
    assert updated["summary"] == "Uno"
    assert not {"description", "colorId", "attendees", "guestsCanModify"} & set(updated)


def test_a_resource_that_was_read_may_be_sent_back(gym: LocalGym) -> None:
    for event_id in ("budget0107", "standup", "standup_20260112T143000Z", "offsite0120"):
        event = gym.call(ALICE, "events_get", eventId=event_id, **PRIMARY)
        before = gym.rows("SELECT change FROM world")
        assert gym.call(ALICE, "events_update", eventId=event_id, **PRIMARY, **event) == event
        assert gym.rows("SELECT change FROM world") == before


def test_a_change_that_changes_nothing_is_none(gym: LocalGym) -> None:
    event = gym.call(ALICE, "events_get", eventId="budget0107", **PRIMARY)
    assert gym.call(ALICE, "events_patch", eventId="budget0107", summary="Budget Review", **PRIMARY) == event


def test_reminders_and_colours_leave_updated_alone(gym: LocalGym) -> None:
    before = gym.call(ALICE, "events_get", eventId="budget0107", **PRIMARY)
    after = gym.call(ALICE, "events_patch", eventId="budget0107", colorId="3", reminders={"useDefault": False}, **PRIMARY)
    assert (after["updated"], after["etag"] != before["etag"]) == (before["updated"], True)


def test_properties_merge_by_key(gym: LocalGym) -> None:
    made = insert(gym, extendedProperties={"private": {"a": "1", "b": "2"}, "shared": {"c": "3"}})
    change = {"private": {"a": None, "d": "4"}}
    patched = gym.call(ALICE, "events_patch", eventId=made["id"], extendedProperties=change, **PRIMARY)
    assert patched["extendedProperties"] == {"private": {"b": "2", "d": "4"}, "shared": {"c": "3"}}


def test_attendees_are_replaced_whole_and_keep_their_answers(gym: LocalGym) -> None:
    invited = [{"email": ALICE.email}, {"email": CAROL.email, "optional": True}]
    patched = gym.call(ALICE, "events_patch", eventId="oneononebob", attendees=invited, **PRIMARY)
    assert [guest["email"] for guest in patched["attendees"]] == [ALICE.email, CAROL.email]
    assert patched["attendees"][0]["responseStatus"] == "accepted"
    assert patched["attendees"][1] == {"email": CAROL.email, "optional": True, "responseStatus": "needsAction"}


def test_a_timed_event_can_become_all_day(gym: LocalGym) -> None:
    days = {"start": {"date": "2026-01-15"}, "end": {"date": "2026-01-17"}}
    patched = gym.call(ALICE, "events_patch", eventId="budget0107", **PRIMARY, **days)
    assert (patched["start"], patched["end"]) == ({"date": "2026-01-15"}, {"date": "2026-01-17"})


# Series.


def test_one_occurrence_is_changed_alone(gym: LocalGym) -> None:
    series = insert(gym, summary="Series", **WEEKLY)
    second = f"{series['id']}_20260209T150000Z"
    moved = gym.call(
        ALICE,
        "events_patch",
        eventId=second,
        start={"dateTime": "2026-02-10T10:00:00-05:00"},
        end={"dateTime": "2026-02-10T11:00:00-05:00"},
        **PRIMARY,
    )
    assert moved["id"] == second
    assert moved["originalStartTime"]["dateTime"] == "2026-02-09T10:00:00-05:00"
    assert times(moved)[0] == "2026-02-10T10:00:00-05:00"
    found = gym.call(ALICE, "events_instances", eventId=series["id"], **PRIMARY)["items"]
    assert [times(one)[0][:10] for one in found] == ["2026-02-02", "2026-02-10", "2026-02-16", "2026-02-23"]
    assert gym.rows("SELECT count(*) FROM events WHERE recurring_event_id = ?", series["id"]) == [(1,)]


def test_one_occurrence_is_deleted_alone(gym: LocalGym) -> None:
    series = insert(gym, **WEEKLY)
    second = {"eventId": f"{series['id']}_20260209T150000Z", **PRIMARY}
    gym.call(ALICE, "events_delete", **second)
    assert gym.call(ALICE, "events_get", **second)["status"] == "cancelled"
    assert reason(gym.refusal(ALICE, "events_delete", **second)) == (410, "deleted")
    assert len(gym.call(ALICE, "events_instances", eventId=series["id"], **PRIMARY)["items"]) == 3
    cancelled = {"eventId": f"{series['id']}_20260216T150000Z", "status": "cancelled", **PRIMARY}
    assert gym.call(ALICE, "events_patch", **cancelled)["status"] == "cancelled"
    assert len(gym.call(ALICE, "events_instances", eventId=series["id"], **PRIMARY)["items"]) == 2


def test_changing_the_series_leaves_its_exceptions_their_own(gym: LocalGym) -> None:
    series = insert(gym, summary="Series", location="Here", **WEEKLY)
    second = {"eventId": f"{series['id']}_20260209T150000Z", **PRIMARY}
    gym.call(ALICE, "events_patch", summary="Special", **second)
    gym.call(ALICE, "events_patch", eventId=series["id"], summary="All", location="There", **PRIMARY)
    special = gym.call(ALICE, "events_get", **second)
    assert (special["summary"], special["location"]) == ("Special", "There")
    third = gym.call(ALICE, "events_get", eventId=f"{series['id']}_20260216T150000Z", **PRIMARY)
    assert (third["summary"], third["location"]) == ("All", "There")


def test_this_and_following_are_two_calls(gym: LocalGym) -> None:
    series = insert(gym, **WEEKLY)
    gym.call(ALICE, "events_patch", eventId=f"{series['id']}_20260216T150000Z", summary="Lost", **PRIMARY)
    trimmed = gym.call(
        ALICE,
        "events_patch",
        eventId=series["id"],
        recurrence=["RRULE:FREQ=WEEKLY;UNTIL=20260215T000000Z"],
        start=WEEKLY["start"],
        **PRIMARY,
    )
    assert trimmed["recurrence"] == ["RRULE:FREQ=WEEKLY;UNTIL=20260215T000000Z"]
    left = gym.call(ALICE, "events_instances", eventId=series["id"], **PRIMARY)["items"]
    assert [times(one)[0][:10] for one in left] == ["2026-02-02", "2026-02-09"]
    listed = gym.call(ALICE, "events_list", q="Lost", **PRIMARY)
    assert listed["items"] == []


def test_a_rule_can_be_changed_without_repeating_the_times(gym: LocalGym) -> None:
    series = insert(gym, **WEEKLY)
    patched = gym.call(ALICE, "events_patch", eventId=series["id"], recurrence=["RRULE:FREQ=WEEKLY;COUNT=2"], **PRIMARY)
    assert len(gym.call(ALICE, "events_instances", eventId=patched["id"], **PRIMARY)["items"]) == 2
    plain = gym.call(ALICE, "events_patch", eventId=series["id"], recurrence=[], **PRIMARY)
    assert "recurrence" not in plain
    assert (
        gym.refusal(ALICE, "events_patch", eventId=series["id"], recurrence=["RRULE:FREQ=NOW"], **PRIMARY)["field"]
        == "recurrence"
    )


def test_deleting_a_series_deletes_its_occurrences(gym: LocalGym) -> None:
    gym.call(ALICE, "events_delete", eventId="standup", **PRIMARY)
    assert gym.call(ALICE, "events_get", eventId="standup_20260112T143000Z", **PRIMARY)["status"] == "cancelled"
    listed = gym.call(BOB, "events_list", singleEvents=True, q="standup", **PRIMARY)
    assert listed["items"] == []


def test_one_more_private_occurrence_makes_the_series_private(gym: LocalGym) -> None:
    series = insert(gym, **WEEKLY)
    one = {"eventId": f"{series['id']}_20260209T150000Z", **PRIMARY}
    gym.call(ALICE, "events_patch", visibility="private", **one)
    assert gym.call(ALICE, "events_get", eventId=series["id"], **PRIMARY)["visibility"] == "private"
    gym.call(ALICE, "events_patch", visibility="public", **one)
    assert gym.call(ALICE, "events_get", **one)["visibility"] == "private"


# Deleting, moving, importing.


def test_deleting_twice_is_gone(gym: LocalGym) -> None:
    gym.call(ALICE, "events_delete", eventId="budget0107", **PRIMARY)
    assert reason(gym.refusal(ALICE, "events_delete", eventId="budget0107", **PRIMARY)) == (410, "deleted")
    assert reason(gym.refusal(ALICE, "events_patch", eventId="budget0107", summary="x", **PRIMARY)) == (410, "deleted")


def test_a_deleted_event_comes_back_with_its_status(gym: LocalGym) -> None:
    gym.call(ALICE, "events_delete", eventId="budget0107", **PRIMARY)
    back = gym.call(ALICE, "events_patch", eventId="budget0107", status="confirmed", **PRIMARY)
    assert (back["status"], back["summary"]) == ("confirmed", "Budget Review")
    assert gym.call(DAVE, "events_get", eventId="budget0107", **PRIMARY)["status"] == "confirmed"


def test_a_move_makes_the_destination_the_organizer(gym: LocalGym) -> None:
    moved = gym.call(ALICE, "events_move", eventId="dentist0108", destination="alice-projects", **PRIMARY)
    assert (moved["id"], moved["organizer"]["email"]) == ("dentist0108", "alice-projects")
    stub = gym.call(ALICE, "events_get", eventId="dentist0108", **PRIMARY)
    assert set(stub) == {"kind", "etag", "id", "status"}
    assert gym.rows("SELECT calendar_id FROM events WHERE event_id = 'dentist0108'") == [("alice-projects",)]
    back = gym.call(ALICE, "events_move", calendarId="alice-projects", eventId="dentist0108", destination="primary")
    assert back["organizer"]["self"] is True
    assert gym.call(ALICE, "events_get", eventId="dentist0108", **PRIMARY)["summary"] == "Dentist"


def test_a_moved_event_stays_with_its_guests(gym: LocalGym) -> None:
    gym.call(ALICE, "events_move", eventId="budget0107", destination="alice-projects", **PRIMARY)
    for user in (ALICE, DAVE):
        kept = gym.call(user, "events_get", eventId="budget0107", **PRIMARY)
        assert (kept["status"], kept["organizer"]["email"]) == ("confirmed", "alice-projects")


def test_a_series_moves_with_its_exceptions(gym: LocalGym) -> None:
    gym.call(ALICE, "events_move", calendarId="alice-projects", eventId="projectcall", destination="primary")
    found = gym.call(ALICE, "events_instances", eventId="projectcall", **PRIMARY)["items"]
    assert len(found) == 7
    assert {one["organizer"]["email"] for one in found} == {ALICE.email}


def test_what_cannot_be_moved(gym: LocalGym) -> None:
    one = {"eventId": "standup_20260106T143000Z", "destination": "alice-team", **PRIMARY}
    assert reason(gym.refusal(ALICE, "events_move", **one)) == (403, "cannotChangeOrganizerOfInstance")
    guest = {"calendarId": "primary", "eventId": "standup", "destination": "bob-projects"}
    assert reason(gym.refusal(BOB, "events_move", **guest)) == (403, "cannotChangeOrganizer")
    away = {"calendarId": "primary", "eventId": "ooo0112", "destination": "carol-design"}
    assert reason(gym.refusal(CAROL, "events_move", **away)) == (400, "invalid")
    assert (
        gym.refusal(ALICE, "events_move", eventId="dentist0108", destination="bob-development", **PRIMARY)["code"] == "FORBIDDEN"
    )
    hidden = gym.refusal(ALICE, "events_move", eventId="dentist0108", destination="bob-personal", **PRIMARY)
    assert (hidden["code"], hidden["field"]) == ("NOT_FOUND", "destination")


def test_an_import_is_private_and_known_by_its_uid(gym: LocalGym) -> None:
    given = {"iCalUID": "abc@example.com", "organizer": {"email": "host@example.com"}, "attendees": [{"email": BOB.email}]}
    made = gym.call(ALICE, "events_import", summary="Webinar", **given, **WHEN, **PRIMARY)
    assert (made["iCalUID"], made["organizer"]["email"]) == ("abc@example.com", "host@example.com")
    assert gym.refusal(BOB, "events_get", eventId=made["id"], **PRIMARY)["code"] == "NOT_FOUND"
    again = gym.call(ALICE, "events_import", summary="Webinar II", **given, **WHEN, **PRIMARY)
    assert (again["id"], again["summary"]) == (made["id"], "Webinar II")


@pytest.mark.parametrize(
    ("text", "summary", "start", "end"),
    [
        ("Lunch with Carol tomorrow 12:30-13:30", "Lunch with Carol", "2026-01-06T12:30:00-05:00", "2026-01-06T13:30:00-05:00"),
        ("Review on 2026-01-15 at 3pm for 30 minutes", "Review", "2026-01-15T15:00:00-05:00", "2026-01-15T15:30:00-05:00"),
        ("Planning Friday 9-10:30am", "Planning", "2026-01-09T09:00:00-05:00", "2026-01-09T10:30:00-05:00"),
        ("Call at noon", "Call", "2026-01-05T12:00:00-05:00", "2026-01-05T13:00:00-05:00"),
        ("Early run 3:15", "Early run", "2026-01-06T03:15:00-05:00", "2026-01-06T04:15:00-05:00"),
        ("Party Jan 31 10pm-1am", "Party", "2026-01-31T22:00:00-05:00", "2026-02-01T01:00:00-05:00"),
        ("Offsite next Monday", "Offsite", "2026-01-12", "2026-01-13"),
        ("Read", "Read", "2026-01-05", "2026-01-06"),
        ("tomorrow", "tomorrow", "2026-01-06", "2026-01-07"),
    ],
)
def test_quick_add(gym: LocalGym, text: str, summary: str, start: str, end: str) -> None:
    made = gym.call(ALICE, "events_quick_add", text=text, **PRIMARY)
    shown = [made[name].get("dateTime") or made[name]["date"] for name in ("start", "end")]
    assert (made["summary"], *shown) == (summary, start, end)


@pytest.mark.parametrize("text", ["x at 25:00", "x on 2026-02-30", "x 99pm", "x Feb 30", "x 12:75"])
def test_quick_add_refuses_times_that_do_not_exist(gym: LocalGym, text: str) -> None:
    assert gym.refusal(ALICE, "events_quick_add", text=text, **PRIMARY)["field"] == "text"


def test_quick_add_uses_the_users_default_length(gym: LocalGym) -> None:
    made = gym.call(BOB, "events_quick_add", text="Check tomorrow 4pm", **PRIMARY)
    assert times(made) == ("2026-01-06T16:00:00-08:00", "2026-01-06T16:30:00-08:00")
