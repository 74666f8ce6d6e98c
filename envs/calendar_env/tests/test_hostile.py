"""What a client may send to do harm: nothing breaks, nothing changes, and every refusal is typed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calendar_env.environment import CalendarEnvironment
from calendar_env.testing import LocalGym
from calendar_env.users import ALICE, BOB

TYPED = {
    "INVALID_ARGUMENTS",
    "NOT_FOUND",
    "FORBIDDEN",
    "GONE",
    "DUPLICATE",
}
NASTY = [
    "'; DROP TABLE events; --",
    "' OR '1'='1",
    "alice-primary' --",
    "%",
    "_",
    "../../etc/passwd",
    "\0",
    "primary\0",
    "PRIMARY",
    "‮primary",
    "a" * 100_000,
    "",
    "{{7*7}}",
    "<script>",
    "x@" * 50,
]
WHEN = {"start": {"dateTime": "2026-01-15T14:00:00Z"}, "end": {"dateTime": "2026-01-15T15:00:00Z"}}


def contents(gym: LocalGym) -> list[Any]:
    tables = [name for (name,) in gym.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
    return [(name, gym.rows(f"SELECT * FROM {name}")) for name in tables]


@pytest.mark.parametrize("text", NASTY)
def test_sql_and_paths_in_identifiers_are_only_texts(gym: LocalGym, text: str) -> None:
    before = contents(gym)
    for tool in CalendarEnvironment.tools:
        arguments = {**tool.arguments.example}
        for name in ("calendarId", "id"):
            if name in arguments:
                arguments[name] = text
        if "calendarId" not in arguments and "id" not in arguments:
            continue
        error = gym.refusal(ALICE, tool.name, **arguments)
        assert error["code"] in TYPED, (tool.name, error)
    for tool_name, arguments in (
        ("events_get", {"calendarId": "primary", "eventId": text}),
        ("events_delete", {"calendarId": "primary", "eventId": text}),
        ("acl_delete", {"calendarId": "primary", "ruleId": text}),
        ("settings_get", {"setting": text}),
        ("events_move", {"calendarId": "primary", "eventId": "budget0107", "destination": text}),
    ):
        assert gym.refusal(ALICE, tool_name, **arguments)["code"] in TYPED
    assert contents(gym) == before


@pytest.mark.parametrize("text", [text for text in NASTY if text])
def test_texts_are_kept_as_they_come(gym: LocalGym, text: str) -> None:
    text = text[:1000]
    made = gym.call(ALICE, "events_insert", calendarId="primary", summary=text, description=text, **WHEN)
    assert gym.call(ALICE, "events_get", calendarId="primary", eventId=made["id"])["summary"] == text
    assert made["id"] in [event["id"] for event in gym.call(ALICE, "events_list", calendarId="primary", q=text[:900])["items"]]


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20), st.sampled_from(NASTY[:10])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
tools = st.sampled_from(list(CalendarEnvironment.tools))


@settings(max_examples=300, deadline=None)
@given(tools, st.data())
def test_whatever_arguments_are_sent_the_answer_is_typed(tool: Any, data: st.DataObject) -> None:
    names = sorted(tool.arguments.names)
    arguments = dict(tool.arguments.example)
    for name in data.draw(st.lists(st.sampled_from(names), max_size=3)) if names else []:
        arguments[name] = data.draw(values)
    with LocalGym() as gym:
        outcome = gym.environment.call_tool(tool.name, arguments, gym.context(BOB))
        assert outcome.error is None or outcome.error.code in TYPED, outcome.error


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3000",
        "FREQ=DAILY;BYSETPOS=366",
        "FREQ=MONTHLY;BYDAY=53MO",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO;BYMONTH=6",
        "FREQ=DAILY;INTERVAL=1000;BYMONTHDAY=31;BYMONTH=2",
    ],
)
def test_a_rule_without_occurrence_is_refused_and_the_list_stays(gym: LocalGym, rule: str) -> None:
    start = {"dateTime": "1900-01-01T10:00:00", "timeZone": "UTC"}
    end = {"dateTime": "1900-01-01T11:00:00", "timeZone": "UTC"}
    given = {"calendarId": "primary", "start": start, "end": end, "recurrence": [f"RRULE:{rule}"]}
    error = gym.refusal(ALICE, "events_insert", **given)
    assert (error["code"], error["field"]) == ("INVALID_ARGUMENTS", "recurrence")
    listed = gym.call(ALICE, "events_list", calendarId="primary", singleEvents=True, timeMin="2026-01-05T00:00:00Z")
    assert "standup_20260107T143000Z" in {event["id"] for event in listed["items"]}
