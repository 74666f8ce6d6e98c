from __future__ import annotations

import json
from typing import Any

import pytest

from openenv.errors import QueryRefused, Unsupported, ValidationFailed
from openenv.operation import Episode
from openenv.verifiers import Evidence, Verdict, parse_verifier
from tests.verifiers.databases import database

IMAGE = database()
OVERVIEW = r"""
{
    "verifier_type": "database_state",
    "name": "Alice_Has_Writer_Access",
    "description": "Alice must have writer or owner role on Bob's project calendar",
    "validation_config": {
        "query": "\n        SELECT COUNT(*) AS count\n        FROM acls\n        WHERE calendar_id='bob-projects'\n        AND user_id='alice_manager'\n        AND role IN ('writer', 'owner')\n    ",
        "expected_value": 1,
        "comparison_type": "equals"
    }
}
"""  # noqa: E501


def verdict(query: str, expected: Any, comparison: str = "equals", image: bytes = IMAGE) -> Verdict:
    config = {"query": query, "expected_value": expected, "comparison_type": comparison}
    spec = {"verifier_type": "database_state", "validation_config": config}
    found = parse_verifier(json.loads(json.dumps(spec))).verify(Evidence(Episode(), final=image))
    json.dumps([found.message, found.expected, found.actual, found.details], ensure_ascii=False).encode()
    return found


def test_the_overviews_verifier() -> None:
    verifier = parse_verifier(json.loads(OVERVIEW))
    assert verifier.name == "Alice_Has_Writer_Access"
    before = verifier.verify(Evidence(Episode(), IMAGE, IMAGE))
    assert (before.passed, before.actual, before.message) == (False, 0, "The query gives 0; expected 1.")
    after = database("UPDATE acls SET role = 'writer' WHERE user_id = 'alice_manager'")
    assert verifier.verify(Evidence(Episode(), IMAGE, after)).passed


def test_comparison_and_name_have_defaults() -> None:
    verifier = parse_verifier(
        {"verifier_type": "database_state", "validation_config": {"query": "SELECT 2", "expected_value": 2}}
    )
    found = verifier.verify(Evidence(Episode(), final=IMAGE))
    assert (found.name, found.passed) == ("database_state", True)


CELL = "SELECT 5"
WORD = "SELECT 'Sprint planning'"
NULL = "SELECT NULL"
NONE = "SELECT role FROM acls WHERE id = 99"
USERS = "SELECT user_id FROM acls ORDER BY id"
ROWS = "SELECT id, role FROM acls ORDER BY id"


@pytest.mark.parametrize(
    ("query", "comparison", "expected", "passed"),
    [
        (CELL, "equals", 5, True),
        (CELL, "equals", 5.0, True),
        (CELL, "equals", "5", False),
        (CELL, "equals", [5], True),
        (CELL, "equals", [[5]], True),
        (CELL, "equals", None, False),
        (CELL, "not_equals", 5, False),
        (CELL, "not_equals", 4, True),
        (CELL, "greater_than", 4, True),
        (CELL, "greater_than", 5, False),
        (CELL, "greater_than", "4", False),
        (CELL, "less_than", 5.5, True),
        (CELL, "less_than", 5, False),
        (CELL, "at_least", 5, True),
        (CELL, "at_least", 6, False),
        (CELL, "at_most", 5, True),
        (CELL, "at_most", 4, False),
        (CELL, "in", [4, 5], True),
        (CELL, "in", [], False),
        (CELL, "not_in", [4], True),
        (CELL, "not_in", [5], False),
        (CELL, "contains", "5", False),
        ("SELECT 1", "equals", True, True),
        (WORD, "equals", "Sprint planning", True),
        (WORD, "equals", "sprint planning", False),
        (WORD, "contains", "planning", True),
        (WORD, "contains", "kickoff", False),
        (WORD, "not_contains", "kickoff", True),
        (WORD, "not_contains", "planning", False),
        (WORD, "at_least", "Sprint", True),
        ("SELECT '2026-01-05T09:00:00Z'", "less_than", "2026-01-06", True),
        (NULL, "equals", None, True),
        (NULL, "equals", [], False),
        (NULL, "equals", "", False),
        (NULL, "greater_than", 0, False),
        (NULL, "less_than", 0, False),
        (NULL, "not_equals", "reader", True),
        (NONE, "equals", [], True),
        (NONE, "equals", None, False),
        (NONE, "not_equals", "owner", False),
        (NONE, "not_in", ["owner"], False),
        (NONE, "less_than", 1, False),
        (NONE, "not_contains", "owner", True),
        (USERS, "equals", ["bob", "alice_manager"], True),
        (USERS, "equals", [["bob"], ["alice_manager"]], True),
        (USERS, "equals", ["alice_manager", "bob"], False),
        (USERS, "equals", "bob", False),
        (USERS, "contains", "alice_manager", True),
        (USERS, "contains", "alice", False),
        (USERS, "contains", ["bob"], True),
        (USERS, "not_contains", "carol", True),
        (USERS, "not_contains", "bob", False),
        (USERS, "greater_than", "a", False),
        (ROWS, "equals", [[1, "owner"], [2, "reader"]], True),
        (ROWS, "equals", [[1, "owner"]], False),
        (ROWS, "contains", [2, "reader"], True),
        (ROWS, "contains", [2, "owner"], False),
        (ROWS, "in", [[[1, "owner"], [2, "reader"]], []], True),
        ("SELECT 1, 2", "equals", [[1, 2]], True),
        ("SELECT 1, 2", "equals", 1, False),
        ("SELECT x'ff'", "equals", {"blob": "ff"}, True),
    ],
)
def test_comparisons(query: str, comparison: str, expected: Any, passed: bool) -> None:
    assert verdict(query, expected, comparison).passed is passed


def test_messages_say_what_was_there_and_what_was_expected() -> None:
    assert verdict(NONE, "owner").message == "The query gives no row; expected 'owner'."
    assert verdict(CELL, "5").message == "The query gives 5; expected '5'. The one is a number, the other a text."
    assert verdict(CELL, 6, "at_least").message == "The query gives 5; expected at least 6."
    many = verdict("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 900) SELECT x FROM r", 1)
    assert len(many.message) < 300
    assert many.actual[-1] == "… (900 in all)"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"query": 5}, "validation_config.query"),
        ({"query": ""}, "validation_config.query"),
        ({"query": "x" * 20_001}, "validation_config.query"),
        ({"comparison_type": "same"}, "validation_config.comparison_type"),
        ({"comparison_type": "greater_than", "expected_value": True}, "validation_config"),
        ({"comparison_type": "less_than", "expected_value": [1]}, "validation_config"),
        ({"comparison_type": "in", "expected_value": 1}, "validation_config"),
        ({"expected": 1}, "validation_config.expected"),
    ],
)
def test_wrong_configs_are_refused_with_the_key_and_an_example(change: dict[str, Any], field: str) -> None:
    config = {"query": "SELECT 1", "expected_value": 1} | change
    with pytest.raises(ValidationFailed) as caught:
        parse_verifier({"verifier_type": "database_state", "validation_config": config})
    assert caught.value.field == field
    assert set(caught.value.example) == {"query", "expected_value", "comparison_type"}


def test_the_expected_value_has_to_be_given() -> None:
    with pytest.raises(ValidationFailed, match="needs the key 'expected_value'"):
        parse_verifier({"verifier_type": "database_state", "validation_config": {"query": "SELECT 1"}})


def test_what_cannot_be_decided_raises() -> None:
    with pytest.raises(Unsupported, match="no final database image"):
        parse_verifier(json.loads(OVERVIEW)).verify(Evidence(Episode(), IMAGE, None))
    with pytest.raises(QueryRefused):
        verdict("DROP TABLE acls", 1)
