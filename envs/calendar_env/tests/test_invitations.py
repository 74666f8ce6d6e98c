"""One event, and the copies on its guests' calendars."""

from __future__ import annotations

from typing import Any

import pytest

from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE, SeedUser

PRIMARY = {"calendarId": "primary"}
WHEN = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}


def reason(error: dict[str, Any]) -> tuple[int, str]:
    envelope = error["google"]["error"]
    return envelope["code"], envelope["errors"][0]["reason"]


def invite(gym: LocalGym, *guests: SeedUser, **fields: Any) -> str:
    attendees = [{"email": guest.email} for guest in guests]
    made: str = gym.call(ALICE, "events_insert", summary="Talk", attendees=attendees, **PRIMARY, **WHEN, **fields)["id"]
    return made


def answers(gym: LocalGym, event_id: str) -> dict[str, str]:
    event = gym.call(ALICE, "events_get", eventId=event_id, **PRIMARY)
    return {guest["email"]: guest["responseStatus"] for guest in event["attendees"]}


def test_a_guest_with_an_account_gets_a_copy(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL)
    for guest in (BOB, CAROL):
        copy = gym.call(guest, "events_get", eventId=event_id, **PRIMARY)
        assert (copy["summary"], copy["iCalUID"]) == ("Talk", f"{event_id}@google.com")
    assert gym.refusal(DAVE, "events_get", eventId=event_id, **PRIMARY)["code"] == "NOT_FOUND"
    assert gym.rows("SELECT count(*) FROM events WHERE event_id = ?", event_id) == [(1,)]
    assert gym.rows("SELECT calendar_id FROM event_copies WHERE event_id = ? ORDER BY 1", event_id) == [
        ("alice-primary",),
        ("bob-primary",),
        ("carol-primary",),
    ]


def test_a_guest_answers_and_the_organizer_sees_it(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL)
    mine = {"email": BOB.email, "responseStatus": "accepted", "comment": "Glad to", "additionalGuests": 1}
    copy = gym.call(BOB, "events_patch", eventId=event_id, attendees=[mine], **PRIMARY)
    assert len(copy["attendees"]) == 2
    assert answers(gym, event_id) == {BOB.email: "accepted", CAROL.email: "needsAction"}
    whole = gym.call(CAROL, "events_get", eventId=event_id, **PRIMARY)["attendees"]
    whole[1]["responseStatus"] = "tentative"
    whole[0]["responseStatus"] = "declined"
    gym.call(CAROL, "events_patch", eventId=event_id, attendees=whole, **PRIMARY)
    assert answers(gym, event_id) == {BOB.email: "accepted", CAROL.email: "tentative"}


def test_a_guest_answers_for_one_occurrence(gym: LocalGym) -> None:
    one = "oneononebob_20260112T200000Z"
    mine = {"email": BOB.email, "responseStatus": "declined"}
    gym.call(BOB, "events_patch", eventId=one, attendees=[mine], **PRIMARY)
    assert answers(gym, one)[BOB.email] == "declined"
    assert answers(gym, "oneononebob")[BOB.email] == "accepted"


@pytest.mark.parametrize(
    "change",
    [
        {"summary": "Mine"},
        {"location": "Elsewhere"},
        {"start": {"dateTime": "2026-01-15T13:00:00Z"}},
        {"guestsCanModify": True},
        {"visibility": "public"},
        {"recurrence": ["RRULE:FREQ=DAILY;COUNT=2"], "start": {"dateTime": "2026-01-15T14:00:00Z", "timeZone": "UTC"}},
        {"extendedProperties": {"shared": {"a": "1"}}},
    ],
)
def test_a_guest_does_not_change_what_all_see(gym: LocalGym, change: dict[str, Any]) -> None:
    event_id = invite(gym, BOB)
    before = gym.rows("SELECT * FROM events")
    assert reason(gym.refusal(BOB, "events_patch", eventId=event_id, **change, **PRIMARY)) == (403, "forbiddenForNonOrganizer")
    assert gym.rows("SELECT * FROM events") == before


def test_a_guest_changes_what_is_the_guests_own(gym: LocalGym) -> None:
    event_id = invite(gym, BOB)
    own = {
        "colorId": "7",
        "transparency": "transparent",
        "reminders": {"useDefault": False},
        "extendedProperties": {"private": {"a": "1"}},
    }
    copy = gym.call(BOB, "events_patch", eventId=event_id, **own, **PRIMARY)
    assert (copy["colorId"], copy["transparency"]) == ("7", "transparent")
    assert copy["extendedProperties"] == {"private": {"a": "1"}}
    main = gym.call(ALICE, "events_get", eventId=event_id, **PRIMARY)
    assert not {"colorId", "transparency", "extendedProperties"} & set(main)
    busy = {"timeMin": "2026-01-15T14:00:00Z", "timeMax": "2026-01-15T14:15:00Z", "items": [{"id": "primary"}]}
    assert gym.call(BOB, "freebusy_query", **busy)["calendars"]["primary"]["busy"] == []


def test_guests_modify_where_the_event_says_so(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL, guestsCanModify=True)
    gym.call(BOB, "events_patch", eventId=event_id, summary="Ours", **PRIMARY)
    assert gym.call(ALICE, "events_get", eventId=event_id, **PRIMARY)["summary"] == "Ours"
    refused = gym.refusal(BOB, "events_patch", eventId=event_id, guestsCanModify=False, **PRIMARY)
    assert reason(refused) == (403, "forbiddenForNonOrganizer")


def test_guests_invite_others_unless_they_may_not(gym: LocalGym) -> None:
    more = [{"email": BOB.email}, {"email": DAVE.email}]
    event_id = invite(gym, BOB)
    gym.call(BOB, "events_patch", eventId=event_id, attendees=more, **PRIMARY)
    assert gym.call(DAVE, "events_get", eventId=event_id, **PRIMARY)["summary"] == "Talk"
    closed = invite(gym, BOB, guestsCanInviteOthers=False)
    refused = gym.refusal(BOB, "events_patch", eventId=closed, attendees=more, **PRIMARY)
    assert reason(refused) == (403, "forbiddenForNonOrganizer")


def test_hidden_guests_are_hidden_from_guests(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL, guestsCanSeeOtherGuests=False)
    copy = gym.call(BOB, "events_get", eventId=event_id, **PRIMARY)
    assert [guest["email"] for guest in copy["attendees"]] == [BOB.email]
    gym.call(BOB, "events_patch", eventId=event_id, attendees=[{"email": BOB.email, "responseStatus": "accepted"}], **PRIMARY)
    assert answers(gym, event_id) == {BOB.email: "accepted", CAROL.email: "needsAction"}


def test_with_attendees_omitted_only_the_own_answer_counts(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL)
    gym.call(ALICE, "events_patch", eventId=event_id, attendees=[], attendeesOmitted=True, **PRIMARY)
    assert set(answers(gym, event_id)) == {BOB.email, CAROL.email}


def test_the_organizers_deletion_reaches_everyone(gym: LocalGym) -> None:
    event_id = invite(gym, BOB)
    gym.call(ALICE, "events_delete", eventId=event_id, sendUpdates="all", **PRIMARY)
    copy = gym.call(BOB, "events_get", eventId=event_id, **PRIMARY)
    assert (copy["status"], "summary" in copy) == ("cancelled", False)
    assert gym.rows("SELECT kind, recipient FROM outbox") == [("cancellation", BOB.email)]


def test_a_guests_deletion_is_a_refusal(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL)
    gym.call(BOB, "events_delete", eventId=event_id, **PRIMARY)
    assert answers(gym, event_id) == {BOB.email: "declined", CAROL.email: "needsAction"}
    assert event_id not in [event["id"] for event in gym.call(BOB, "events_list", **PRIMARY)["items"]]
    assert reason(gym.refusal(BOB, "events_delete", eventId=event_id, **PRIMARY)) == (410, "deleted")
    # A later change of the organizer's does not bring it back.
    gym.call(ALICE, "events_patch", eventId=event_id, summary="Talk II", **PRIMARY)
    assert gym.call(BOB, "events_get", eventId=event_id, **PRIMARY)["status"] == "cancelled"


def test_whoever_is_uninvited_loses_the_copy(gym: LocalGym) -> None:
    event_id = invite(gym, BOB, CAROL)
    gym.call(ALICE, "events_patch", eventId=event_id, attendees=[{"email": CAROL.email}], **PRIMARY)
    assert gym.call(BOB, "events_get", eventId=event_id, **PRIMARY)["status"] == "cancelled"
    gym.call(ALICE, "events_patch", eventId=event_id, attendees=[{"email": CAROL.email}, {"email": BOB.email}], **PRIMARY)
    assert gym.call(BOB, "events_get", eventId=event_id, **PRIMARY)["status"] == "confirmed"


def test_a_new_guest_of_a_series_gets_its_exceptions_too(gym: LocalGym) -> None:
    series = gym.call(ALICE, "events_get", eventId="standup", **PRIMARY)
    invited = [*series["attendees"], {"email": DAVE.email}]
    gym.call(ALICE, "events_patch", eventId="standup", attendees=invited, **PRIMARY)
    window = {"timeMin": "2026-01-12T00:00:00-05:00", "timeMax": "2026-01-13T00:00:00-05:00"}
    found = gym.call(DAVE, "events_list", singleEvents=True, q="standup", **window, **PRIMARY)["items"]
    assert [(one["id"], one["start"]["dateTime"]) for one in found] == [("standup_20260112T143000Z", "2026-01-12T09:00:00-06:00")]


def test_one_occurrence_can_have_guests_of_its_own(gym: LocalGym) -> None:
    one = "oneononebob_20260112T200000Z"
    event = gym.call(ALICE, "events_get", eventId=one, **PRIMARY)
    gym.call(ALICE, "events_patch", eventId=one, attendees=[*event["attendees"], {"email": CAROL.email}], **PRIMARY)
    seen = gym.call(CAROL, "events_get", eventId=one, **PRIMARY)
    assert (seen["status"], seen["recurringEventId"]) == ("confirmed", "oneononebob")
    assert gym.refusal(CAROL, "events_get", eventId="oneononebob", **PRIMARY)["code"] == "NOT_FOUND"


def test_an_id_that_a_guests_calendar_has_already_is_no_obstacle(gym: LocalGym) -> None:
    gym.call(BOB, "events_insert", id="talk2026", summary="Bob's", **PRIMARY, **WHEN)
    made = gym.call(ALICE, "events_insert", id="talk2026", summary="Alice's", attendees=[{"email": BOB.email}], **PRIMARY, **WHEN)
    assert made["id"] == "talk2026"
    mine = gym.call(BOB, "events_list", iCalUID="talk2026@google.com", **PRIMARY)["items"]
    assert sorted(event["summary"] for event in mine) == ["Alice's", "Bob's"]


def test_who_would_be_mailed_is_recorded_when_asked_for(gym: LocalGym) -> None:
    attendees = [{"email": ALICE.email}, {"email": BOB.email}, {"email": "guest@example.com"}]
    gym.call(ALICE, "events_insert", attendees=attendees, **PRIMARY, **WHEN)
    assert gym.rows("SELECT count(*) FROM outbox") == [(0,)]
    gym.call(ALICE, "events_insert", attendees=attendees, sendUpdates="all", **PRIMARY, **WHEN)
    gym.call(ALICE, "events_insert", attendees=attendees, sendUpdates="externalOnly", **PRIMARY, **WHEN)
    assert gym.rows("SELECT kind, recipient FROM outbox ORDER BY message_id") == [
        ("invitation", BOB.email),
        ("invitation", "guest@example.com"),
        ("invitation", "guest@example.com"),
    ]
