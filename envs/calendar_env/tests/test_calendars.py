from __future__ import annotations

from typing import Any

import pytest

from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE


def reason(error: dict[str, Any]) -> tuple[int, str]:
    envelope = error["google"]["error"]
    return envelope["code"], envelope["errors"][0]["reason"]


def test_a_new_calendar_belongs_to_its_maker(gym: LocalGym) -> None:
    made = gym.call(ALICE, "calendars_insert", summary="Hiring", description="Interviews", timeZone="Europe/Berlin")
    assert made["id"].endswith("@group.calendar.google.com")
    assert (made["summary"], made["description"], made["timeZone"]) == ("Hiring", "Interviews", "Europe/Berlin")
    assert made["dataOwner"] == ALICE.email
    entry = gym.call(ALICE, "calendar_list_get", calendarId=made["id"])
    assert (entry["accessRole"], entry["selected"], "primary" in entry) == ("owner", True, False)
    assert [rule["role"] for rule in gym.call(ALICE, "acl_list", calendarId=made["id"])["items"]] == ["owner"]


def test_patch_keeps_and_update_clears_what_is_not_given(gym: LocalGym) -> None:
    team = {"calendarId": "alice-team"}
    patched = gym.call(ALICE, "calendars_patch", location="New York", **team)
    assert (patched["location"], patched["description"]) == ("New York", "What the whole team does together")
    assert "description" not in gym.call(ALICE, "calendars_patch", description=None, **team)
    updated = gym.call(ALICE, "calendars_update", summary="Team", **team)
    assert (updated["summary"], "location" in updated) == ("Team", False)
    assert updated["timeZone"] == "America/New_York"


def test_a_resource_may_be_sent_back_as_it_came(gym: LocalGym) -> None:
    calendar = gym.call(ALICE, "calendars_get", calendarId="alice-team")
    before = gym.rows("SELECT change FROM world")
    assert gym.call(ALICE, "calendars_update", calendarId="alice-team", **calendar) == calendar
    assert gym.rows("SELECT change FROM world") == before


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc/passwd", "localtime", "america/new_york", "UTC\0"])
def test_a_time_zone_has_to_exist(gym: LocalGym, name: str) -> None:
    assert gym.refusal(ALICE, "calendars_insert", summary="x", timeZone=name)["field"] == "timeZone"


def test_deleting_a_calendar_takes_its_events_off_every_calendar(gym: LocalGym) -> None:
    assert gym.call(BOB, "events_get", calendarId="primary", eventId="teamlunch0116")["status"] == "confirmed"
    assert gym.call(ALICE, "calendars_delete", calendarId="alice-team") is None
    assert gym.refusal(ALICE, "calendars_get", calendarId="alice-team")["code"] == "NOT_FOUND"
    assert gym.call(BOB, "events_get", calendarId="primary", eventId="teamlunch0116")["status"] == "cancelled"
    assert "alice-team" not in [entry["id"] for entry in gym.call(BOB, "calendars_list")["items"]]
    assert gym.rows("SELECT deleted FROM calendars WHERE calendar_id = 'alice-team'") == [(1,)]


def test_a_primary_calendar_is_cleared_not_deleted(gym: LocalGym) -> None:
    assert reason(gym.refusal(BOB, "calendars_delete", calendarId="primary")) == (403, "cannotDeletePrimaryCalendar")
    assert reason(gym.refusal(BOB, "calendars_clear", calendarId="bob-projects")) == (400, "invalid")
    gym.call(BOB, "calendars_clear", calendarId="primary")
    assert gym.call(BOB, "events_list", calendarId="primary")["items"] == []
    standup = gym.call(ALICE, "events_get", calendarId="primary", eventId="standup")
    answers = {guest["email"]: guest["responseStatus"] for guest in standup["attendees"]}
    assert (standup["status"], answers[BOB.email], answers[CAROL.email]) == ("confirmed", "declined", "accepted")


def test_only_the_data_owner_deletes(gym: LocalGym) -> None:
    gym.call(ALICE, "acl_insert", calendarId="alice-team", role="owner", scope={"type": "user", "value": BOB.email})
    assert gym.refusal(BOB, "calendars_delete", calendarId="alice-team")["code"] == "FORBIDDEN"


def test_conference_properties_are_checked(gym: LocalGym) -> None:
    good = {"allowedConferenceSolutionTypes": ["hangoutsMeet"]}
    patched = gym.call(ALICE, "calendars_patch", calendarId="primary", conferenceProperties=good)
    assert patched["conferenceProperties"] == good
    bad: Any
    for bad in ({}, {"allowedConferenceSolutionTypes": "x"}, {"allowedConferenceSolutionTypes": [{}]}, {"other": []}):
        assert (
            gym.refusal(ALICE, "calendars_patch", calendarId="primary", conferenceProperties=bad)["code"] == "INVALID_ARGUMENTS"
        )


# The list of calendars.


def test_the_list_shows_role_colours_and_the_primary(gym: LocalGym) -> None:
    listed = gym.call(ALICE, "calendars_list")
    assert listed["kind"] == "calendar#calendarList"
    assert {entry["id"]: entry["accessRole"] for entry in listed["items"]} == {
        "alice-primary": "owner",
        "alice-projects": "owner",
        "alice-team": "owner",
        "bob-development": "reader",
        "carol-design": "writer",
        "dave-sales": "reader",
    }
    primary = listed["items"][0]
    assert primary["primary"] is True
    assert primary["defaultReminders"] == [{"method": "popup", "minutes": 10}]
    assert (primary["colorId"], primary["backgroundColor"]) == ("1", "#ac725e")
    owned = gym.call(ALICE, "calendars_list", minAccessRole="owner")["items"]
    assert [entry["id"] for entry in owned] == ["alice-primary", "alice-projects", "alice-team"]


def test_the_first_of_bobs_calendars_is_not_the_project_one(gym: LocalGym) -> None:
    own = [entry["id"] for entry in gym.call(BOB, "calendars_list")["items"] if entry["id"].startswith("bob-")]
    assert own == ["bob-development", "bob-personal", "bob-primary", "bob-projects"]


def test_a_shared_calendar_is_listed_once_it_was_added(gym: LocalGym) -> None:
    assert gym.refusal(CAROL, "calendar_list_get", calendarId="bob-development")["code"] == "NOT_FOUND"
    added = gym.call(CAROL, "calendar_list_insert", id="bob-development", summaryOverride="Bob's code", colorId="3")
    assert (added["summary"], added["summaryOverride"], added["colorId"]) == ("Bob: Development", "Bob's code", "3")
    assert gym.call(CAROL, "calendar_list_delete", calendarId="bob-development") is None
    assert gym.refusal(CAROL, "calendar_list_get", calendarId="bob-development")["code"] == "NOT_FOUND"
    assert gym.call(CAROL, "events_list", calendarId="bob-development")["items"]


def test_each_user_has_a_list_of_its_own(gym: LocalGym) -> None:
    gym.call(ALICE, "calendar_list_patch", calendarId="carol-design", hidden=True, colorId="9")
    assert "carol-design" not in [entry["id"] for entry in gym.call(ALICE, "calendars_list")["items"]]
    assert "carol-design" in [entry["id"] for entry in gym.call(ALICE, "calendars_list", showHidden=True)["items"]]
    assert "hidden" not in gym.call(CAROL, "calendar_list_get", calendarId="carol-design")


def test_update_clears_what_is_not_given(gym: LocalGym) -> None:
    gym.call(ALICE, "calendar_list_patch", calendarId="carol-design", summaryOverride="Art", hidden=True)
    entry = gym.call(ALICE, "calendar_list_update", calendarId="carol-design", selected=True)
    assert ("summaryOverride" in entry, "hidden" in entry, entry["selected"]) == (False, False, True)


def test_colours_follow_the_format_that_is_asked_for(gym: LocalGym) -> None:
    entry = {"calendarId": "primary"}
    shown = gym.call(DAVE, "calendar_list_patch", backgroundColor="#a47ae1", colorRgbFormat=True, **entry)
    assert (shown["backgroundColor"], shown["colorId"]) == ("#a47ae1", "24")
    assert gym.call(DAVE, "calendar_list_patch", backgroundColor="#000000", **entry)["backgroundColor"] == "#a47ae1"
    assert gym.refusal(DAVE, "calendar_list_patch", colorId="25", **entry)["field"] == "colorId"
    assert gym.refusal(DAVE, "calendar_list_patch", backgroundColor="red", **entry)["field"] == "backgroundColor"


def test_the_own_primary_stays_on_the_list(gym: LocalGym) -> None:
    assert reason(gym.refusal(DAVE, "calendar_list_delete", calendarId="primary")) == (403, "cannotChangeOwnPrimarySubscription")


def test_a_list_synchronises_changes_of_entry_calendar_and_access(gym: LocalGym) -> None:
    sync = gym.call(BOB, "calendars_list")["nextSyncToken"]
    assert gym.call(BOB, "calendars_list", syncToken=sync)["items"] == []
    gym.call(ALICE, "calendars_patch", calendarId="alice-team", summary="Team")
    gym.call(ALICE, "acl_patch", calendarId="alice-projects", ruleId=f"user:{BOB.email}", role="reader")
    gym.call(CAROL, "acl_delete", calendarId="carol-design", ruleId=f"user:{BOB.email}")
    gym.call(CAROL, "acl_delete", calendarId="carol-design", ruleId="default")
    gym.call(BOB, "calendar_list_patch", calendarId="bob-personal", selected=False)
    changed = {entry["id"]: entry for entry in gym.call(BOB, "calendars_list", syncToken=sync)["items"]}
    assert sorted(changed) == ["alice-projects", "alice-team", "bob-personal", "carol-design"]
    assert changed["alice-team"]["summary"] == "Team"
    assert changed["alice-projects"]["accessRole"] == "reader"
    assert changed["carol-design"]["deleted"] is True
    assert gym.refusal(BOB, "calendars_list", syncToken=sync, minAccessRole="owner")["field"] == "minAccessRole"


def test_the_list_is_paged(gym: LocalGym) -> None:
    first = gym.call(ALICE, "calendars_list", maxResults=4)
    second = gym.call(ALICE, "calendars_list", maxResults=4, pageToken=first["nextPageToken"])
    assert [len(first["items"]), len(second["items"])] == [4, 2]
    assert "nextSyncToken" in second
    assert gym.refusal(BOB, "calendars_list", maxResults=4, pageToken=first["nextPageToken"])["field"] == "pageToken"


def test_reminders_and_notifications_are_checked(gym: LocalGym) -> None:
    entry = {"calendarId": "primary"}
    good = {"notifications": [{"type": "agenda", "method": "email"}]}
    assert gym.call(DAVE, "calendar_list_patch", notificationSettings=good, **entry)["notificationSettings"] == good
    for bad in ({}, {"notifications": "x"}, {"notifications": [{"type": [], "method": "email"}]}):
        assert gym.refusal(DAVE, "calendar_list_patch", notificationSettings=bad, **entry)["code"] == "INVALID_ARGUMENTS"
    too_many = [{"method": "popup", "minutes": 1}] * 6
    assert gym.refusal(DAVE, "calendar_list_patch", defaultReminders=too_many, **entry)["field"] == "defaultReminders"


# What is only read.


def test_settings(gym: LocalGym) -> None:
    assert gym.call(CAROL, "settings_get", setting="format24HourTime")["value"] == "true"
    assert gym.call(DAVE, "settings_get", setting="timezone")["value"] == "America/Chicago"
    assert gym.refusal(DAVE, "settings_get", setting="nothing")["code"] == "NOT_FOUND"
    first = gym.call(DAVE, "settings_list", maxResults=10)
    second = gym.call(DAVE, "settings_list", maxResults=10, pageToken=first["nextPageToken"])
    assert len(first["items"]) + len(second["items"]) == 12
    assert gym.call(DAVE, "settings_list", maxResults=10, syncToken=second["nextSyncToken"])["items"] == []


def test_colours(gym: LocalGym) -> None:
    colors = gym.call(DAVE, "colors_get")
    assert (len(colors["calendar"]), len(colors["event"])) == (24, 11)
    assert colors["event"]["11"] == {"background": "#dc2127", "foreground": "#1d1d1d"}
