from __future__ import annotations

from typing import Any

import pytest

from openenv.evaluation.failures import Judge
from tests.evaluation.build import event, run_of, trial

MOVE: dict[str, Any] = {"book": "odes", "shelf": "science-fiction"}
LEND: dict[str, Any] = {"book": "odes", "days": 7, "kind": "short"}


def judged(*events: dict[str, Any], scenario: str = "lend-in-order", **known: Any) -> str:
    one = trial(scenario, events=list(events), **known)
    return Judge(run_of(one)).trial(one)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], "wrong_tool"),
        ([event("shelves_list", read_only=True)], "wrong_tool"),
        ([event("book_move", **MOVE)], "wrong_tool"),
        ([event("book_move", **MOVE), event("book_lend", **LEND), event("book_give", code="TOOL_NOT_FOUND")], "wrong_tool"),
        ([event("book_move", book="odes", shelf="poems"), event("book_lend", code="NOT_LENT", **LEND)], "wrong_arguments"),
        ([event("book_move", **MOVE), event("book_lend", code="INVALID_ARGUMENTS", **LEND)], "wrong_arguments"),
        ([event("book_move", **MOVE), event("book_lend", code="INVALID_ARGUMENTS", book="odes")], "wrong_arguments"),
        ([event("book_lend", code="NOT_LENT", **LEND), event("book_move", **MOVE)], "wrong_order"),
        ([event("book_move", **MOVE), event("book_lend", code="UNAUTHENTICATED", **LEND)], "other"),
        ([event("book_move", **MOVE), event("book_lend", **LEND), event("book_move", book="dune", shelf="poems")], "other"),
    ],
)
def test_the_rules_for_trials(events: list[dict[str, Any]], expected: str) -> None:
    assert judged(*events) == expected


def test_a_call_that_failed_first_and_succeeded_in_its_place_is_in_order() -> None:
    events = [event("book_lend", code="NOT_LENT", **LEND), event("book_move", **MOVE), event("book_lend", **LEND)]
    assert judged(*events) == "other"


def test_nulls_are_no_arguments() -> None:
    assert judged(event("book_move", note=None, **MOVE), event("book_lend", **LEND)) == "other"


def test_time_and_crashes_are_other_whatever_was_called() -> None:
    assert judged(stop="time_limit") == "other"
    assert judged(status="agent_error", stop="error") == "other"


def test_a_question_needs_its_look_ups() -> None:
    assert judged(scenario="count-poems") == "wrong_tool"
    assert judged(event("books_count", read_only=True, shelf="poem"), scenario="count-poems") == "wrong_arguments"
    assert judged(event("books_count", read_only=True, shelf="poems"), scenario="count-poems") == "other"


def test_read_only_tools_are_learned_from_what_happened() -> None:
    one = trial("count-poems", events=[event("books_count", read_only=True, shelf="poems")])
    run = run_of(one, server={})
    assert [call.tool for call in Judge(run).needed(run.header.suite.scenarios[3])] == ["books_count"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (event("book_give", code="TOOL_NOT_FOUND"), "wrong_tool"),
        (event("ladder_climb", code="NOT_FOUND"), "wrong_tool"),
        (event("books_count", code="NOT_FOUND", read_only=True, shelf="x"), "wrong_arguments"),
        (event("book_lend", code="INVALID_ARGUMENTS", book="odes"), "wrong_arguments"),
        (event("book_move", code="NOT_FOUND", book="odes", shelf="novels"), "wrong_arguments"),
        (event("book_lend", code="NOT_LENT", **LEND), "wrong_order"),
        (event("book_move", code="FORBIDDEN", **MOVE), "other"),
        (event("book_move", code="UNAUTHENTICATED", book="x", shelf="y"), "other"),
        (event("book_move", code="EXECUTION_ERROR", **MOVE), "other"),
    ],
)
def test_the_rules_for_failed_calls(call: dict[str, Any], expected: str) -> None:
    one = trial("lend-in-order", events=[call])
    assert Judge(run_of(one)).failed_calls(one) == {expected: 1}


def test_successful_calls_are_not_failures_and_malformed_ones_are() -> None:
    one = trial(
        "lend-in-order",
        events=[event("book_move", **MOVE)],
        malformed=[{"tool": "book_lend", "arguments": "{", "message": "no JSON"}],
    )
    assert Judge(run_of(one)).failed_calls(one) == {"wrong_arguments": 1}
