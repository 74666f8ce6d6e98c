from __future__ import annotations

import json
from typing import Any

import pytest

from openenv.errors import ValidationFailed
from openenv.operation import Episode, Event
from openenv.verifiers import Evidence, Verdict, parse_verifier


def call(tool: str, success: bool = True, **arguments: Any) -> Event:
    return Event(0, "step", tool=tool, arguments=arguments, success=success)


EVENTS = [
    Event(1, "list_tools"),
    call("acl_list", calendarId="bob-projects"),
    call("acl_insert", success=False, calendarId="bob-projects", role="admin"),
    call("acl_insert", calendarId="bob-projects", role="writer", scope={"type": "user", "value": "alice", "extra": 1}),
    call("events_list"),
    call("acl_list", calendarId="bob-projects", maxResults=5),
]


def verdict(config: dict[str, Any], events: list[Event] = EVENTS) -> Verdict:
    verifier = parse_verifier({"verifier_type": "tool_calls", "validation_config": config})
    found = verifier.verify(Evidence(Episode(events=events)))
    json.dumps([found.message, found.expected, found.actual, found.details], ensure_ascii=False).encode()
    return found


@pytest.mark.parametrize(
    ("config", "passed"),
    [
        ({}, True),
        ({"expected_tools": ["acl_list", "acl_insert"]}, True),
        ({"expected_tools": ["acl_patch"]}, False),
        ({"minimum_tool_calls": 4}, True),
        ({"minimum_tool_calls": 5}, False),
        ({"minimum_tool_calls": 5, "successful_only": False}, True),
        ({"expected_tools": ["acl_list"], "minimum_tool_calls": 2}, True),
        ({"expected_tools": ["acl_list"], "minimum_tool_calls": 3}, False),
        ({"maximum_tool_calls": 5}, True),
        ({"maximum_tool_calls": 4}, False),
        ({"forbidden_tools": ["acl_delete"]}, True),
        ({"forbidden_tools": ["events_list"]}, False),
        ({"order": ["acl_list", "acl_insert", "acl_list"]}, True),
        ({"order": ["acl_insert", "events_list"]}, True),
        ({"order": ["events_list", "acl_insert"]}, False),
        ({"order": ["acl_insert", "acl_insert"]}, False),
        ({"order": ["acl_insert", "acl_insert"], "successful_only": False}, True),
        ({"arguments": {"acl_insert": {"role": "writer"}}}, True),
        ({"arguments": {"acl_insert": {"role": "admin"}}}, False),
        ({"arguments": {"acl_insert": {"role": "admin"}}, "successful_only": False}, True),
        ({"arguments": {"acl_insert": {"scope": {"value": "alice"}}}}, True),
        ({"arguments": {"acl_insert": {"scope": {"value": "bob"}}}}, False),
        ({"arguments": {"acl_insert": {"scope": "alice"}}}, False),
        ({"arguments": {"acl_list": [{"maxResults": 5}, {"calendarId": "bob-projects"}]}}, True),
        ({"arguments": {"acl_list": [{"calendarId": "bob-projects"}, {"maxResults": 5}]}}, True),
        ({"arguments": {"acl_list": [{"maxResults": 5}, {"maxResults": 5}]}}, False),
        ({"arguments": {"acl_list": {"maxResults": True}}}, False),
        ({"arguments": {"events_list": {}}}, True),
        ({"arguments": {"events_get": {}}}, False),
    ],
)
def test_calls(config: dict[str, Any], passed: bool) -> None:
    found = verdict(config)
    assert found.passed is passed
    assert bool(found.details.get("failures")) is not passed


def test_no_calls_at_all() -> None:
    assert not verdict({}, []).passed
    assert not verdict({"minimum_tool_calls": 1}, [Event(1, "list_tools"), Event(2, "step")]).passed
    assert verdict({"forbidden_tools": ["acl_delete"]}, []).passed
    assert verdict({"maximum_tool_calls": 0}, []).passed


def test_a_forbidden_call_counts_even_in_vain() -> None:
    found = verdict({"forbidden_tools": ["acl_delete"]}, [call("acl_delete", success=False)])
    assert not found.passed
    assert found.message == "'acl_delete' was called (1 times) and must not be."


def test_the_published_gyms_name_of_it() -> None:
    config = {"expected_tools": ["acl_list"], "minimum_tool_calls": 1}
    verifier = parse_verifier({"verifier_type": "tool_execution", "validation_config": config})
    found = verifier.verify(Evidence(Episode(events=EVENTS)))
    assert (found.passed, found.verifier_type, found.name) == (True, "tool_calls", "tool_execution")


@pytest.mark.parametrize(
    "config",
    [
        {"expected_tools": "acl_list"},
        {"expected_tools": [1]},
        {"minimum_tool_calls": "2"},
        {"minimum_tool_calls": -1},
        {"minimum_tool_calls": 3, "maximum_tool_calls": 2},
        {"expected_tools": ["a"], "forbidden_tools": ["a"]},
        {"arguments": {"a": 1}},
        {"arguments": ["a"]},
        {"tools": ["a"]},
    ],
)
def test_wrong_configs_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        verdict(config)
    assert caught.value.example


def test_hostile_tool_names_stay_data() -> None:
    found = verdict({"expected_tools": ["x" * 200]}, [call("\ud800" + "y" * 5000, success=False)])
    assert not found.passed
    assert len(found.actual[0]) < 600
