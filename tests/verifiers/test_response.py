from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv.errors import ValidationFailed
from openenv.operation import Episode
from openenv.verifiers import Evidence, Verdict, parse_verifier
from openenv.verifiers.response import numbers


def verdict(config: dict[str, Any], response: str | None) -> Verdict:
    verifier = parse_verifier({"verifier_type": "response", "validation_config": config})
    found = verifier.verify(Evidence(Episode(response=response)))
    json.dumps([found.message, found.expected, found.actual, found.details], ensure_ascii=False).encode()
    return found


@pytest.mark.parametrize(
    ("config", "response", "passed"),
    [
        ({"equals": "Done"}, "Done", True),
        ({"equals": "Done"}, " Done\n", True),
        ({"equals": "Done"}, "done", False),
        ({"equals": "Done", "ignore_case": True}, "dONE", True),
        ({"equals": ""}, "", True),
        ({"equals": "Done"}, "Done.", False),
        ({"contains": "11"}, "She has 11 calendars", True),
        ({"contains": ["Monday", "10:00"]}, "On Monday at 10:00", True),
        ({"contains": ["Monday", "10:00"]}, "On Monday", False),
        ({"contains": "STRASSE", "ignore_case": True}, "Lange Straße", True),
        ({"not_contains": "error"}, "all fine", True),
        ({"not_contains": ["a", "error"]}, "an error", False),
        ({"any_of": ["busy", "not free"]}, "Bob is not free", True),
        ({"any_of": ["busy", "not free"]}, "Bob is free", False),
        ({"matches": r"^\d{4}-\d\d-\d\d$"}, "2026-01-05", True),
        ({"matches": r"^\d{4}-\d\d-\d\d$"}, "on 2026-01-05", False),
        ({"matches": "MONDAY", "ignore_case": True}, "next Monday", True),
        ({"number": 11}, "She has 11 calendars.", True),
        ({"number": 11}, "She has 111 calendars, or 11th, or v11", False),
        ({"number": 1234.5}, "It costs $1,234.5!", True),
        ({"number": -3}, "It is \u22123 degrees", True),
        ({"number": 3.14, "tolerance": 0.01}, "about 3.1416", True),
        ({"number": 3.14}, "about 3.1416", False),
        ({"number": 0}, "none", False),
        ({"contains": "a", "number": 2}, "a 3", False),
        ({"contains": "a", "maximum_length": 5}, "a" * 6, False),
        ({"contains": "a"}, "a" * 20_001, False),
        ({"not_contains": "x"}, None, False),
        ({"matches": "a"}, "a\ud800", True),
        ({"equals": "\ud800"}, "?", False),
    ],
)
def test_responses(config: dict[str, Any], response: str | None, passed: bool) -> None:
    found = verdict(config, response)
    assert found.passed is passed
    assert bool(found.details.get("failures")) is not passed


def test_every_failure_is_told() -> None:
    found = verdict({"contains": ["a", "b"], "number": 4, "tolerance": 0.5}, "nothing")
    assert found.message == "The response does not contain 'a'."
    assert found.details["failures"] == [
        "the response does not contain 'a'",
        "the response does not contain 'b'",
        "the response has no number 4 (± 0.5)",
    ]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("(a+)+$", "a" * 20_000 + "!"),
        ("(a|a)*b", "a" * 20_000),
        ("(a|aa)+$", "a" * 20_000 + "!"),
        (".*.*.*.*.*.*=", "a" * 20_000),
        ("(.*)*x", "a" * 20_000),
        (r"([a-z]+\s?)+\d", "word " * 4_000),
    ],
)
def test_expressions_that_would_backtrack_for_years_do_not(expression: str, text: str) -> None:
    assert not verdict({"matches": expression}, text).passed


@pytest.mark.parametrize("expression", ["(", r"(a)\1", "(?=a)", "(a{1000}){1000}", "a" * 501, "[z-a]", "(?P<n"])
def test_expressions_that_cannot_be_used_are_refused(expression: str) -> None:
    with pytest.raises(ValidationFailed, match="matches"):
        verdict({"matches": expression}, "a")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"ignore_case": True},
        {"tolerance": 1, "contains": "a"},
        {"contains": ""},
        {"contains": []},
        {"contains": 5},
        {"number": "5"},
        {"number": float("nan")},
        {"number": 5, "tolerance": -1},
        {"includes": "a"},
        {"contains": "a", "maximum_length": 1_000_000},
    ],
)
def test_configs_that_decide_nothing_or_are_wrong_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed) as caught:
        verdict(config, "a")
    assert caught.value.example


def test_a_judge_is_refused_with_what_to_use_instead() -> None:
    config = {"sql_query": "SELECT 1", "comparison_prompt": "Is it polite?", "minimum_comparison_value": 7}
    with pytest.raises(ValidationFailed, match="no judge model is available") as caught:
        parse_verifier({"verifier_type": "response_check", "validation_config": config})
    assert "database_state" in str(caught.value.hint)


def test_the_published_gyms_name_of_it() -> None:
    verifier = parse_verifier({"verifier_type": "response_check", "validation_config": {"contains": "a"}})
    assert verifier.verify(Evidence(Episode(response="a"))).verifier_type == "response"


def test_numbers_in_a_text() -> None:
    assert list(numbers("1, 2.5 and -3; 1,234,567 of 12,34 at 10:30, 1e3, x5, 5x, 3.")) == [
        1, 2.5, -3, 1234567, 12, 34, 10, 30, 1000, 3,
    ]  # fmt: skip
    assert list(numbers("9" * 5000)) == []


@given(st.text(max_size=200), st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_texts_are_decided(response: str, part: str, expression: str) -> None:
    assert verdict({"contains": part}, response).passed is (part in response)
    try:
        verdict({"matches": expression, "number": 1}, response)
    except ValidationFailed as error:
        json.dumps(error.body())
