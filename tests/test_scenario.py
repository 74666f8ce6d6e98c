from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from openenv.scenario import Scenario, Suite

VERIFIER = {
    "verifier_type": "database_state",
    "name": "writer",
    "description": "Alice may write",
    "validation_config": {"query": "SELECT COUNT(*) FROM acls", "expected_value": 1, "comparison_type": "equals"},
}
SCENARIO: dict[str, Any] = {
    "id": "grant-access",
    "task": "Give Alice write access to bob-projects.",
    "difficulty": "medium",
    "seed": 7,
    "context": {"x-access-token": "t"},
    "setup": [{"tool": "acl_delete", "arguments": {"ruleId": "user:alice"}, "context": {"x-access-token": "b"}}],
    "verifiers": [VERIFIER],
    "allowed_changes": [{"table": "acls", "kinds": ["insert"], "where": {"role": ["writer", None, 1, 1.5, True]}}],
    "ignored_changes": ["*.etag"],
    "solution": [{"tool": "acl_insert"}],
    "response": "Done",
    "mentions": {"bob-projects": "Bob's project calendar"},
    "pair": "grant",
    "phrasing": "explicit",
}


def scenario(**change: Any) -> Scenario:
    return Scenario.model_validate(SCENARIO | change)


def test_it_survives_json_unchanged() -> None:
    made = scenario()
    again = Scenario.model_validate_json(made.model_dump_json())
    assert again == made
    dumped = json.loads(made.model_dump_json(exclude_defaults=True))
    assert dumped["verifiers"] == [VERIFIER]
    assert dumped["allowed_changes"] == SCENARIO["allowed_changes"]
    assert type(dumped["allowed_changes"][0]["where"]["role"][4]) is bool


def test_the_server_never_gets_the_answer() -> None:
    made = scenario()
    sent = made.for_server().model_dump_json()
    assert "acl_insert" not in sent
    assert "Done" not in sent
    assert "Bob's project calendar" not in sent
    assert made.solution
    kept = Scenario.model_validate_json(sent)
    assert (kept.verifiers, kept.allowed_changes, kept.setup, kept.seed) == (
        made.verifiers,
        made.allowed_changes,
        made.setup,
        made.seed,
    )


def test_allowing_everything_is_not_allowing_nothing() -> None:
    assert scenario(allowed_changes=None).allowed_changes is None
    assert scenario(allowed_changes=[]).allowed_changes == []
    assert Scenario.model_validate({"id": "a", "task": "", "verifiers": [VERIFIER]}).allowed_changes is None


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"id": "Has Spaces"}, ("id",), "pattern"),
        ({"id": "../etc"}, ("id",), "pattern"),
        ({"verifiers": []}, ("verifiers",), "at least 1"),
        ({"verifiers": [VERIFIER, {"verifier_type": "magic"}]}, ("verifiers",), "1.verifier_type: There is no verifier"),
        ({"verifiers": [{"verifier_type": "response"}]}, ("verifiers",), "0.validation_config: .* give at least one of"),
        ({"max_steps": 0}, ("max_steps",), "greater"),
        ({"seed": -1}, ("seed",), "greater"),
        ({"difficulty": "brutal"}, ("difficulty",), "easy"),
        ({"ignored_changes": ["etag"]}, ("ignored_changes", 0), "pattern"),
        ({"reward": 1}, ("reward",), "Extra"),
    ],
)
def test_mistakes_are_found_when_it_is_loaded(change: dict[str, Any], where: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        scenario(**change)
    assert caught.value.errors()[0]["loc"] == where


def suite(*scenarios: dict[str, Any], **change: Any) -> Suite:
    return Suite.model_validate(
        {"name": "first", "environment": "calendar", "ignored_changes": ["*.updated"], "scenarios": list(scenarios)} | change
    )


def test_a_suites_book_keeping_holds_for_every_scenario_once() -> None:
    made = suite(SCENARIO, SCENARIO | {"id": "two", "ignored_changes": ["*.updated"]})
    assert [one.ignored_changes for one in made.scenarios] == [["*.updated", "*.etag"], ["*.updated"]]
    again = Suite.model_validate_json(made.model_dump_json())
    assert again == made
    assert Suite.model_validate(made.model_dump()) == made


def test_two_scenarios_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two scenarios have the id 'grant-access'"):
        suite(SCENARIO, SCENARIO)
    with pytest.raises(ValidationError, match="at least 1"):
        suite()


def test_book_keeping_has_a_limit_together() -> None:
    own = [f"t{i}.a" for i in range(150)]
    with pytest.raises(ValidationError, match="more than 200 ignored_changes"):
        suite(SCENARIO | {"ignored_changes": own}, ignored_changes=[f"s{i}.a" for i in range(60)])
