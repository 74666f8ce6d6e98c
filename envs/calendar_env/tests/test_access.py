"""The role table, held against every kind of rule and every kind of access."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calendar_env.access import Role
from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB, CAROL, DAVE, DOMAIN, SeedUser

CALENDAR = "bob-personal"
"""A calendar on which nobody but Bob has a rule."""
WHEN = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}
ROLES = [role.google for role in Role]
OPEN = {"id": "open01", "summary": "Open", "description": "All about it", **WHEN}
SECRET = {"id": "secret01", "summary": "Secret", "visibility": "private", **WHEN}
GROUPS = {"eng-team@techcorp.com": {BOB, CAROL}, "leadership@techcorp.com": {ALICE, DAVE}}

scopes = st.one_of(
    st.just(("default", None)),
    st.sampled_from([("user", user.email) for user in (ALICE, CAROL, DAVE)]),
    st.sampled_from([("group", group) for group in GROUPS]),
    st.sampled_from([("domain", DOMAIN), ("domain", "elsewhere.example")]),
)


def prepared(rules: dict[tuple[str, str | None], str]) -> LocalGym:
    gym = LocalGym()
    for event in (OPEN, SECRET):
        gym.call(BOB, "events_insert", calendarId=CALENDAR, **event)
    for (kind, value), role in rules.items():
        scope = {"type": kind} if value is None else {"type": kind, "value": value}
        gym.call(BOB, "acl_insert", calendarId=CALENDAR, role=role, scope=scope)
    return gym


def expected_role(user: SeedUser, rules: dict[tuple[str, str | None], str]) -> Role:
    def concerns(kind: str, value: str | None) -> bool:
        if kind == "group":
            return user in GROUPS[value or ""]
        return kind == "default" or value in (user.email, DOMAIN)

    return max((Role.of(role) for (kind, value), role in rules.items() if concerns(kind, value)), default=Role.NONE)


def allowed(gym: LocalGym, user: SeedUser, tool: str, **arguments: Any) -> str:
    outcome = gym.environment.call_tool(tool, {"calendarId": CALENDAR, **arguments}, gym.context(user))
    return "ok" if outcome.error is None else outcome.error.code


def check_everything(gym: LocalGym, user: SeedUser, role: Role) -> None:
    """Every method of every resource keeps to the role that the rules add up to."""

    def wanted(least: Role) -> str:
        return "NOT_FOUND" if role is Role.NONE else "ok" if role >= least else "FORBIDDEN"

    assert allowed(gym, user, "calendars_get") == wanted(Role.READER)
    assert allowed(gym, user, "events_list") == wanted(Role.FREE_BUSY_READER)
    assert allowed(gym, user, "events_get", eventId="open01") == wanted(Role.FREE_BUSY_READER)
    assert allowed(gym, user, "acl_list") == wanted(Role.WRITER)
    assert allowed(gym, user, "acl_get", ruleId=f"user:{BOB.email}") == wanted(Role.WRITER)
    assert allowed(gym, user, "events_patch", eventId="open01", summary="Mine") == wanted(Role.WRITER_WITHOUT_PRIVATE_ACCESS)
    assert allowed(gym, user, "events_patch", eventId="secret01", summary="Mine") == wanted(Role.WRITER)
    assert allowed(gym, user, "events_insert", **WHEN) == wanted(Role.WRITER_WITHOUT_PRIVATE_ACCESS)
    assert allowed(gym, user, "events_quick_add", text="x tomorrow 3pm") == wanted(Role.WRITER_WITHOUT_PRIVATE_ACCESS)
    assert allowed(gym, user, "calendars_patch", description="Mine") == wanted(Role.OWNER)
    grant = {"role": "reader", "scope": {"type": "user", "value": "new@elsewhere.example"}}
    assert allowed(gym, user, "acl_insert", **grant) == wanted(Role.OWNER)
    # A role of owner does not make anybody the data owner.
    assert allowed(gym, user, "calendars_delete") == ("NOT_FOUND" if role is Role.NONE else "FORBIDDEN")
    asked = {"timeMin": "2026-01-15T00:00:00Z", "timeMax": "2026-01-16T00:00:00Z", "items": [{"id": CALENDAR}]}
    busy = gym.call(user, "freebusy_query", **asked)["calendars"][CALENDAR]
    assert ("errors" in busy) == (role is Role.NONE)
    if role is Role.NONE:
        assert gym.refusal(user, "calendar_list_insert", id=CALENDAR)["code"] == "NOT_FOUND"
    else:
        assert gym.call(user, "calendar_list_insert", id=CALENDAR)["accessRole"] == role.google


SCOPES = [("user", DAVE.email), ("group", "leadership@techcorp.com"), ("domain", DOMAIN)]


@pytest.mark.parametrize(
    ("scope", "role"),
    [*((scope, role) for scope in SCOPES for role in ROLES), *((("default", None), role) for role in ROLES[:3])],
)
def test_each_role_through_each_scope(scope: tuple[str, str | None], role: str) -> None:
    with prepared({scope: role}) as gym:
        check_everything(gym, DAVE, Role.of(role))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(scopes, st.sampled_from(ROLES), max_size=5), st.sampled_from([ALICE, CAROL, DAVE]))
def test_the_highest_rule_that_concerns_somebody_counts(rules: dict[tuple[str, str | None], str], user: SeedUser) -> None:
    for kind, value in list(rules):
        if kind == "default" and Role.of(rules[kind, value]) > Role.READER:
            rules[kind, value] = "reader"
    with prepared(rules) as gym:
        check_everything(gym, user, expected_role(user, rules))


@pytest.mark.parametrize("role", ROLES[1:])
def test_what_is_private_is_masked(role: str) -> None:
    with prepared({("user", DAVE.email): role}) as gym:
        events = {event["id"]: event for event in gym.call(DAVE, "events_list", calendarId=CALENDAR)["items"]}
        secret_shown = Role.of(role) >= Role.WRITER
        assert ("summary" in events["secret01"]) == secret_shown
        assert ("summary" in events["open01"]) == (Role.of(role) >= Role.READER)
        got = gym.call(DAVE, "events_get", calendarId=CALENDAR, eventId="secret01")
        assert ("summary" in got) == secret_shown
        if not secret_shown:
            known = {"kind", "etag", "id", "status", "start", "end", "visibility"}
            assert set(events["secret01"]) == set(got) == known
            assert got["visibility"] == "private"
        # What cannot be seen cannot be found either.
        found = [event["id"] for event in gym.call(DAVE, "events_list", calendarId=CALENDAR, q="Secret")["items"]]
        assert found == (["secret01"] if secret_shown else [])
        found = [event["id"] for event in gym.call(DAVE, "events_list", calendarId=CALENDAR, q="about it")["items"]]
        assert found == (["open01"] if Role.of(role) >= Role.READER else [])


def test_an_attendee_sees_a_private_event_on_the_organizers_calendar(gym: LocalGym) -> None:
    gym.call(BOB, "acl_insert", calendarId=CALENDAR, role="reader", scope={"type": "domain", "value": DOMAIN})
    gym.call(BOB, "events_insert", calendarId=CALENDAR, attendees=[{"email": CAROL.email}], **SECRET)
    assert gym.call(CAROL, "events_get", calendarId=CALENDAR, eventId="secret01")["summary"] == "Secret"
    assert "summary" not in gym.call(DAVE, "events_get", calendarId=CALENDAR, eventId="secret01")


def test_nobody_learns_whether_a_calendar_exists(gym: LocalGym) -> None:
    hidden = gym.refusal(DAVE, "events_list", calendarId="bob-personal")
    missing = gym.refusal(DAVE, "events_list", calendarId="bob-nothing0")
    assert {**hidden, "message": "", "google": ""} == {**missing, "message": "", "google": ""}
    assert hidden["google"]["error"]["errors"][0]["reason"] == "notFound"


def test_primary_and_an_email_name_a_primary_calendar(gym: LocalGym) -> None:
    by_alias = gym.call(CAROL, "calendars_get", calendarId="primary")
    assert by_alias["id"] == "carol-primary"
    assert gym.call(CAROL, "calendars_get", calendarId=CAROL.email) == by_alias
    assert gym.refusal(BOB, "calendars_get", calendarId=CAROL.email)["code"] == "FORBIDDEN"
