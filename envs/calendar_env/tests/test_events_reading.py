from __future__ import annotations

from typing import Any

import pytest

from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE

PRIMARY = {"calendarId": "primary"}
WEEK = {"timeMin": "2026-01-05T00:00:00-05:00", "timeMax": "2026-01-10T00:00:00-05:00"}


def ids(listed: dict[str, Any]) -> list[str]:
    return [event["id"] for event in listed["items"]]


def reason(error: dict[str, Any]) -> tuple[int, str]:
    envelope = error["google"]["error"]
    return envelope["code"], envelope["errors"][0]["reason"]


def make(gym: LocalGym, start: str, end: str, **more: Any) -> str:
    times = [{"dateTime": text} if "T" in text else {"date": text} for text in (start, end)]
    made: str = gym.call(DAVE, "events_insert", calendarId="primary", start=times[0], end=times[1], **more)["id"]
    return made


def test_an_event_is_shown_as_google_shows_it(gym: LocalGym) -> None:
    event = gym.call(BOB, "events_get", eventId="sprintplanning0106", **PRIMARY)
    assert event["kind"] == "calendar#event"
    assert event["summary"] == "Sprint Planning & Architecture Review"
    assert event["start"] == {"dateTime": "2026-01-06T07:00:00-08:00", "timeZone": "America/New_York"}
    assert event["organizer"] == {"email": "alice-projects", "displayName": "Project Management"}
    assert event["creator"] == {"email": ALICE.email}
    assert event["iCalUID"] == "sprintplanning0106@google.com"
    assert event["created"] == "2025-12-15T10:00:00.000Z"
    guests = {guest["email"]: guest for guest in event["attendees"]}
    assert guests[BOB.email]["self"] is True
    assert guests[CAROL.email]["responseStatus"] == "tentative"
    assert guests["room-atlas@techcorp.com"]["resource"] is True
    assert None not in event.values()


def test_self_depends_on_the_calendar_that_is_read(gym: LocalGym) -> None:
    for user, calendar, organizes in ((ALICE, "primary", True), (BOB, "primary", False), (BOB, "alice-primary", True)):
        event = gym.call(user, "events_get", calendarId=calendar, eventId="oneononebob")
        assert event["organizer"].get("self", False) is organizes
        selves = [guest["email"] for guest in event["attendees"] if guest.get("self")]
        assert selves == [ALICE.email if organizes else BOB.email]


def test_times_are_shown_in_the_zone_that_is_asked_for(gym: LocalGym) -> None:
    event = gym.call(BOB, "events_get", eventId="sprintplanning0106", timeZone="Asia/Tokyo", **PRIMARY)
    assert event["start"]["dateTime"] == "2026-01-07T00:00:00+09:00"
    event = gym.call(BOB, "events_get", eventId="sprintplanning0106", timeZone="UTC", **PRIMARY)
    assert event["start"]["dateTime"] == "2026-01-06T15:00:00Z"
    assert gym.refusal(BOB, "events_get", eventId="sprintplanning0106", timeZone="Mars", **PRIMARY)["field"] == "timeZone"


def test_a_missing_event_is_told_with_what_to_do(gym: LocalGym) -> None:
    error = gym.refusal(ALICE, "events_get", eventId="nothing", **PRIMARY)
    assert (error["code"], error["field"]) == ("NOT_FOUND", "eventId")
    assert "events_list" in error["hint"]


# Windows.


def test_the_end_lies_strictly_after_time_min_and_the_start_strictly_before_time_max(gym: LocalGym) -> None:
    one = make(gym, "2026-02-02T10:00:00Z", "2026-02-02T11:00:00Z")

    def found(low: str, high: str) -> bool:
        return one in ids(gym.call(DAVE, "events_list", timeMin=low, timeMax=high, **PRIMARY))

    assert not found("2026-02-02T11:00:00Z", "2026-02-02T12:00:00Z")
    assert found("2026-02-02T10:59:59Z", "2026-02-02T12:00:00Z")
    assert not found("2026-02-02T09:00:00Z", "2026-02-02T10:00:00Z")
    assert found("2026-02-02T09:00:00Z", "2026-02-02T10:00:01Z")
    assert found("2026-02-02T10:30:00.999Z", "2026-02-02T10:31:00Z")


def test_an_all_day_event_has_the_days_of_its_calendars_zone(gym: LocalGym) -> None:
    one = make(gym, "2026-02-02", "2026-02-03")
    # Chicago's second of February ends at 06:00 UTC of the third.
    found = gym.call(DAVE, "events_list", timeMin="2026-02-03T05:59:00Z", timeMax="2026-02-03T07:00:00Z", **PRIMARY)
    assert one in ids(found)
    found = gym.call(DAVE, "events_list", timeMin="2026-02-03T06:00:00Z", timeMax="2026-02-03T07:00:00Z", **PRIMARY)
    assert one not in ids(found)
    assert gym.call(DAVE, "events_get", eventId=one, **PRIMARY)["end"] == {"date": "2026-02-03"}


@pytest.mark.parametrize(
    "bad", ["2026-01-05", "2026-01-05T00:00:00", "yesterday", "2026-02-30T00:00:00Z", "9999-01-01T00:00:00Z", ""]
)
def test_a_bound_needs_an_offset(gym: LocalGym, bad: str) -> None:
    assert gym.refusal(DAVE, "events_list", timeMin=bad, **PRIMARY)["field"] == "timeMin"


def test_an_empty_window_is_refused(gym: LocalGym) -> None:
    error = gym.refusal(DAVE, "events_list", timeMin="2026-01-05T00:00:00Z", timeMax="2026-01-05T00:00:00Z", **PRIMARY)
    assert reason(error) == (400, "timeRangeEmpty")


# Series.


def test_single_events_expand_series_in_order(gym: LocalGym) -> None:
    listed = gym.call(ALICE, "events_list", singleEvents=True, orderBy="startTime", q="standup", **WEEK, **PRIMARY)
    assert ids(listed) == [f"standup_202601{day}T143000Z" for day in ("05", "06", "07", "08")]
    first = listed["items"][0]
    assert (first["recurringEventId"], "recurrence" in first) == ("standup", False)
    assert first["originalStartTime"] == {"dateTime": "2026-01-05T09:30:00-05:00", "timeZone": "America/New_York"}
    assert first["iCalUID"] == "standup@google.com"


def test_an_exception_keeps_its_place_in_the_series(gym: LocalGym) -> None:
    moved = gym.call(ALICE, "events_get", calendarId="alice-projects", eventId="projectcall_20260114T160000Z")
    assert moved["start"]["dateTime"] == "2026-01-15T13:00:00-05:00"
    assert moved["originalStartTime"]["dateTime"] == "2026-01-14T11:00:00-05:00"
    assert moved["summary"] == "Project Sync (moved)"


def test_without_single_events_series_and_their_exceptions_are_shown_once(gym: LocalGym) -> None:
    listed = gym.call(ALICE, "events_list", calendarId="alice-projects", q="")
    found = {event["id"]: event for event in listed["items"]}
    assert found["projectcall"]["recurrence"] == ["RRULE:FREQ=WEEKLY;COUNT=8;BYDAY=WE"]
    gap = found["projectcall_20260121T160000Z"]
    assert set(gap) == {"kind", "etag", "id", "status", "recurringEventId", "originalStartTime"}
    assert gap["status"] == "cancelled"
    assert "projectcall_20260107T160000Z" not in found


def test_a_series_is_shown_when_one_of_its_occurrences_is_in_the_window(gym: LocalGym) -> None:
    far = {"timeMin": "2026-02-25T00:00:00Z", "timeMax": "2026-02-26T00:00:00Z", "calendarId": "alice-projects"}
    assert "projectcall" in ids(gym.call(ALICE, "events_list", **far))
    over = {"timeMin": "2026-03-04T00:00:00Z", "timeMax": "2026-03-05T00:00:00Z", "calendarId": "alice-projects"}
    assert "projectcall" not in ids(gym.call(ALICE, "events_list", **over))


def test_an_occurrence_is_got_by_its_id(gym: LocalGym) -> None:
    one = gym.call(BOB, "events_get", eventId="oneononebob_20260202T200000Z", **PRIMARY)
    assert (one["recurringEventId"], one["start"]["dateTime"]) == ("oneononebob", "2026-02-02T12:00:00-08:00")
    cake = gym.call(DAVE, "events_get", eventId="cake0118_20270118", **PRIMARY)
    assert (cake["start"], cake["originalStartTime"]) == ({"date": "2027-01-18"}, {"date": "2027-01-18"})


@pytest.mark.parametrize(
    "event_id",
    [
        "oneononebob_20260203T200000Z",
        "oneononebob_20260202",
        "oneononebob_20261302T200000Z",
        "oneononebob_99990202T200000Z",
        "budget0107_20260107T160000Z",
        "oneononebob_",
        "_20260202T200000Z",
        "' OR 1=1 --",
        "x" * 5000,
    ],
)
def test_what_is_no_occurrence_is_not_found(gym: LocalGym, event_id: str) -> None:
    assert gym.refusal(ALICE, "events_get", eventId=event_id, **PRIMARY)["code"] == "NOT_FOUND"


def test_instances(gym: LocalGym) -> None:
    series = {"calendarId": "alice-projects", "eventId": "projectcall"}
    listed = gym.call(ALICE, "events_instances", **series)
    assert len(listed["items"]) == 7
    assert len(gym.call(ALICE, "events_instances", showDeleted=True, **series)["items"]) == 8
    first = gym.call(ALICE, "events_instances", maxResults=5, **series)
    second = gym.call(ALICE, "events_instances", maxResults=5, pageToken=first["nextPageToken"], **series)
    assert ids(first) + ids(second) == ids(listed)
    moved = gym.call(ALICE, "events_instances", originalStart="2026-01-14T11:00:00-05:00", **series)
    assert ids(moved) == ["projectcall_20260114T160000Z"]
    # timeMin is inclusive here: the first occurrence ends at 16:30 UTC.
    assert len(gym.call(ALICE, "events_instances", timeMin="2026-01-07T16:30:00Z", **series)["items"]) == 7
    assert len(gym.call(ALICE, "events_instances", timeMin="2026-01-07T16:30:01Z", **series)["items"]) == 6
    assert gym.refusal(ALICE, "events_instances", eventId="budget0107", **PRIMARY)["code"] == "INVALID_ARGUMENTS"


def test_an_endless_series_is_shown_for_two_years_and_never_past_ten(gym: LocalGym) -> None:
    series = {"eventId": "oneononebob", "maxResults": 2500, **PRIMARY}
    assert 100 <= len(gym.call(ALICE, "events_instances", **series)["items"]) <= 106
    far = gym.call(ALICE, "events_instances", timeMax="2199-01-01T00:00:00Z", **series)
    assert 515 <= len(far["items"]) <= 525


# Filters, order, pages.


def test_search_finds_words_of_the_event_and_of_its_guests(gym: LocalGym) -> None:
    assert "sprintplanning0106" in ids(gym.call(BOB, "events_list", q="INGEST", **PRIMARY))
    assert "demo0116" in ids(gym.call(BOB, "events_list", q="jordan", calendarId="bob-projects"))
    assert ids(gym.call(BOB, "events_list", q="dave.brown", calendarId="bob-projects")) == ["demo0116"]
    assert ids(gym.call(BOB, "events_list", q="nothing like it", **PRIMARY)) == []


def test_filters(gym: LocalGym) -> None:
    assert ids(gym.call(BOB, "events_list", eventTypes=["workingLocation"], **PRIMARY)) == ["homeoffice0107"]
    assert ids(gym.call(BOB, "events_list", iCalUID="demo0116@google.com", calendarId="bob-projects")) == ["demo0116"]
    one = make(gym, "2026-02-02", "2026-02-03", extendedProperties={"private": {"a": "1"}, "shared": {"b": "2"}})
    assert ids(gym.call(DAVE, "events_list", privateExtendedProperty=["a=1"], **PRIMARY)) == [one]
    assert ids(gym.call(DAVE, "events_list", privateExtendedProperty=["a=1"], sharedExtendedProperty=["b=2"], **PRIMARY)) == [one]
    assert ids(gym.call(DAVE, "events_list", privateExtendedProperty=["a=2"], **PRIMARY)) == []
    assert gym.refusal(DAVE, "events_list", privateExtendedProperty=["a"], **PRIMARY)["code"] == "INVALID_ARGUMENTS"


def test_order_by_start_needs_single_events(gym: LocalGym) -> None:
    assert gym.refusal(ALICE, "events_list", orderBy="startTime", **PRIMARY)["field"] == "orderBy"
    listed = gym.call(ALICE, "events_list", orderBy="startTime", singleEvents=True, **WEEK, **PRIMARY)["items"]
    starts = [event["start"].get("dateTime") or event["start"]["date"] for event in listed]
    assert starts == sorted(starts)


def test_order_by_updated_is_ascending(gym: LocalGym) -> None:
    gym.call(ALICE, "events_patch", eventId="budget0107", summary="Budget", **PRIMARY)
    listed = gym.call(ALICE, "events_list", orderBy="updated", **PRIMARY)
    assert ids(listed)[-1] == "budget0107"


@pytest.mark.parametrize("single", [True, False])
def test_pages_make_up_the_whole_list(gym: LocalGym, single: bool) -> None:
    query = {"singleEvents": single, **WEEK, **PRIMARY}
    whole = ids(gym.call(ALICE, "events_list", **query))
    paged: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = gym.call(ALICE, "events_list", maxResults=3, **query, **token)
        assert len(page["items"]) <= 3
        assert ("nextPageToken" in page) != ("nextSyncToken" in page)
        paged += ids(page)
        if "nextPageToken" not in page:
            break
        token = {"pageToken": page["nextPageToken"]}
    assert paged == whole


def test_a_page_token_fits_its_query_only(gym: LocalGym) -> None:
    token = gym.call(ALICE, "events_list", maxResults=3, **WEEK, **PRIMARY)["nextPageToken"]
    assert gym.refusal(ALICE, "events_list", maxResults=3, pageToken=token, **PRIMARY)["field"] == "pageToken"


def test_the_envelope(gym: LocalGym) -> None:
    listed = gym.call(BOB, "events_list", calendarId="alice-projects", timeZone="UTC")
    assert (listed["kind"], listed["accessRole"], listed["timeZone"]) == ("calendar#events", "writer", "UTC")
    assert (listed["summary"], listed["defaultReminders"]) == ("Project Management", [])


def test_too_many_attendees_are_left_out(gym: LocalGym) -> None:
    event = gym.call(BOB, "events_get", eventId="sprintplanning0106", maxAttendees=2, **PRIMARY)
    assert event["attendeesOmitted"] is True
    assert [guest["email"] for guest in event["attendees"]] == [BOB.email]


# What changed.


def test_a_sync_token_brings_what_changed(gym: LocalGym) -> None:
    sync = gym.call(BOB, "events_list", **PRIMARY)["nextSyncToken"]
    assert gym.call(BOB, "events_list", syncToken=sync, **PRIMARY)["items"] == []
    gym.call(BOB, "events_patch", eventId="release0108", summary="Release 2.5 Cut", **PRIMARY)
    gym.call(ALICE, "events_delete", eventId="oneononebob_20260112T200000Z", **PRIMARY)
    gym.call(ALICE, "events_delete", calendarId="alice-team", eventId="teamlunch0116")
    gym.call(CAROL, "events_patch", calendarId="carol-design", eventId="designrev0115", summary="Not Bob's")
    changed = gym.call(BOB, "events_list", syncToken=sync, **PRIMARY)
    assert {event["id"]: event["status"] for event in changed["items"]} == {
        "release0108": "confirmed",
        "oneononebob_20260112T200000Z": "cancelled",
        "teamlunch0116": "cancelled",
    }
    assert gym.call(BOB, "events_list", syncToken=changed["nextSyncToken"], **PRIMARY)["items"] == []


def test_what_a_sync_token_cannot_be_combined_with(gym: LocalGym) -> None:
    sync = gym.call(BOB, "events_list", **PRIMARY)["nextSyncToken"]
    for more in ({"q": "x"}, {"timeMin": WEEK["timeMin"]}, {"orderBy": "updated"}, {"iCalUID": "x"}):
        assert gym.refusal(BOB, "events_list", syncToken=sync, **more, **PRIMARY)["code"] == "INVALID_ARGUMENTS"


def test_a_sync_token_dies_with_its_role_and_its_parameters(gym: LocalGym) -> None:
    shared = {"calendarId": "alice-projects"}
    sync = gym.call(BOB, "events_list", **shared)["nextSyncToken"]
    assert gym.refusal(BOB, "events_list", syncToken=sync, singleEvents=True, **shared)["code"] == "GONE"
    gym.call(ALICE, "acl_patch", ruleId=f"user:{BOB.email}", role="reader", **shared)
    assert reason(gym.refusal(BOB, "events_list", syncToken=sync, **shared)) == (410, "fullSyncRequired")


def test_a_synchronised_expansion_starts_over_when_a_series_moves(gym: LocalGym) -> None:
    sync = gym.call(ALICE, "events_list", singleEvents=True, maxResults=2500, **PRIMARY)["nextSyncToken"]
    gym.call(ALICE, "events_patch", eventId="oneononebob_20260126T200000Z", summary="Review", **PRIMARY)
    changed = gym.call(ALICE, "events_list", singleEvents=True, maxResults=2500, syncToken=sync, **PRIMARY)
    assert ids(changed) == ["oneononebob_20260126T200000Z"]
    gym.call(
        ALICE,
        "events_patch",
        eventId="oneononebob",
        recurrence=["RRULE:FREQ=WEEKLY;COUNT=2;BYDAY=MO"],
        **PRIMARY,
        **{
            "start": {"dateTime": "2026-01-05T15:00:00", "timeZone": "America/New_York"},
            "end": {"dateTime": "2026-01-05T15:30:00", "timeZone": "America/New_York"},
        },
    )
    refused = gym.refusal(ALICE, "events_list", singleEvents=True, maxResults=2500, syncToken=sync, **PRIMARY)
    assert reason(refused) == (410, "fullSyncRequired")


def test_deleted_events_are_shown_when_asked_for(gym: LocalGym) -> None:
    gym.call(ALICE, "events_delete", eventId="budget0107", **PRIMARY)
    gym.call(ALICE, "events_delete", eventId="oneononecarol", **PRIMARY)
    assert not {"budget0107", "oneononecarol"} & set(ids(gym.call(ALICE, "events_list", **PRIMARY)))
    shown = ids(gym.call(ALICE, "events_list", showDeleted=True, **PRIMARY))
    assert {"budget0107", "oneononecarol"} <= set(shown)
    expanded = gym.call(ALICE, "events_list", showDeleted=True, singleEvents=True, **WEEK, **PRIMARY)
    assert "oneononecarol" not in ids(expanded)
    assert {event["status"] for event in expanded["items"] if event.get("recurringEventId") == "oneononecarol"} == {"cancelled"}
    got = gym.call(ALICE, "events_get", eventId="budget0107", **PRIMARY)
    assert (got["status"], got["summary"]) == ("cancelled", "Budget Review")


def test_updated_min(gym: LocalGym) -> None:
    gym.call(ALICE, "events_patch", eventId="budget0107", summary="Budget", **PRIMARY)
    gym.call(ALICE, "events_delete", eventId="dentist0108", **PRIMARY)
    found = gym.call(ALICE, "events_list", updatedMin="2026-01-05T09:00:00Z", **PRIMARY)
    assert sorted(ids(found)) == ["budget0107", "dentist0108"]
    too_old = gym.refusal(ALICE, "events_list", updatedMin="2025-10-01T00:00:00Z", **PRIMARY)
    assert reason(too_old) == (410, "updatedMinTooLongAgo")


# Free and busy.


def test_free_busy_merges_and_leaves_out_what_is_free(gym: LocalGym) -> None:
    asked = {"timeMin": "2026-01-07T00:00:00Z", "timeMax": "2026-01-08T00:00:00Z"}
    answer = gym.call(DAVE, "freebusy_query", items=[{"id": "alice-primary"}], **asked)
    assert answer["calendars"]["alice-primary"]["busy"] == [
        {"start": "2026-01-07T14:30:00Z", "end": "2026-01-07T14:45:00Z"},
        {"start": "2026-01-07T16:00:00Z", "end": "2026-01-07T17:00:00Z"},
    ]
    # Working from home is no appointment.
    bob = gym.call(BOB, "freebusy_query", items=[{"id": "primary"}], timeZone="America/Los_Angeles", **asked)["calendars"][
        "primary"
    ]
    assert bob["busy"][0] == {"start": "2026-01-07T06:00:00-08:00", "end": "2026-01-07T07:00:00-08:00"}


def test_free_busy_leaves_out_what_was_declined_or_deleted(gym: LocalGym) -> None:
    asked = {"timeMin": "2026-01-15T14:00:00Z", "timeMax": "2026-01-15T17:00:00Z", "items": [{"id": DAVE.email}]}
    assert gym.call(DAVE, "freebusy_query", **asked)["calendars"][DAVE.email]["busy"] == []
    lunch = {"timeMin": "2026-01-12T17:00:00Z", "timeMax": "2026-01-12T18:00:00Z", "items": [{"id": "primary"}]}
    assert len(gym.call(DAVE, "freebusy_query", **lunch)["calendars"]["primary"]["busy"]) == 1
    gym.call(DAVE, "events_delete", eventId="lunchdave0112", **PRIMARY)
    assert gym.call(DAVE, "freebusy_query", **lunch)["calendars"]["primary"]["busy"] == []


def test_free_busy_answers_for_groups_and_for_what_cannot_be_seen(gym: LocalGym) -> None:
    asked = {"timeMin": "2026-01-07T00:00:00Z", "timeMax": "2026-01-08T00:00:00Z"}
    items = [{"id": "eng-team@techcorp.com"}, {"id": "bob-personal"}, {"id": "nobody@nowhere.example"}]
    answer = gym.call(ALICE, "freebusy_query", items=items, **asked)
    assert answer["groups"] == {"eng-team@techcorp.com": {"calendars": [BOB.email, CAROL.email]}}
    assert "errors" not in answer["calendars"][BOB.email]
    for hidden in ("bob-personal", "nobody@nowhere.example"):
        assert answer["calendars"][hidden]["errors"] == [{"domain": "global", "reason": "notFound"}]
    few = gym.call(ALICE, "freebusy_query", items=items, groupExpansionMax=1, calendarExpansionMax=1, **asked)
    assert few["groups"]["eng-team@techcorp.com"]["errors"][0]["reason"] == "groupTooBig"
    assert few["calendars"]["nobody@nowhere.example"]["errors"][0]["reason"] == "tooManyCalendarsRequested"
    assert reason(gym.refusal(ALICE, "freebusy_query", timeMin=asked["timeMax"], timeMax=asked["timeMin"], items=items)) == (
        400,
        "timeRangeEmpty",
    )
