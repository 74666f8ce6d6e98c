from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

import openenv.verifiers.grading as grading
from openenv.errors import ValidationFailed
from openenv.operation import Episode, Event
from openenv.verifiers import AllowedChange, Evidence, Grade, Verdict, VerifierSpec, grade, parse_verifier, parse_verifiers
from tests.verifiers.databases import database

INITIAL = database()
FINAL = database("UPDATE acls SET role = 'writer' WHERE id = 2")


def sql(query: str, expected: Any = 1, name: str | None = None) -> VerifierSpec:
    return VerifierSpec(verifier_type="database_state", name=name, validation_config={"query": query, "expected_value": expected})


WRITER = sql("SELECT COUNT(*) FROM acls WHERE role = 'writer'", name="writer")
ANSWER = VerifierSpec(verifier_type="response", validation_config={"contains": "done"})
CALLED = VerifierSpec(verifier_type="tool_calls", validation_config={"expected_tools": ["acl_patch"]})


def evidence(final: bytes | None = FINAL) -> Evidence:
    return Evidence(Episode(events=[Event(1, "step", tool="acl_patch", arguments={})], response="done"), INITIAL, final)


def names(found: Grade) -> dict[str, bool]:
    assert found.reward == (1.0 if found.passed else 0.0)
    assert found.passed is all(verdict.passed for verdict in found.verdicts)
    json.dumps(asdict(found), allow_nan=False)
    return {verdict.name: verdict.passed for verdict in found.verdicts}


def test_all_have_to_pass() -> None:
    found = grade(evidence(), [WRITER, ANSWER, CALLED])
    assert names(found) == {"writer": True, "response": True, "tool_calls": True}
    assert found.passed
    found = grade(evidence(), [WRITER, sql("SELECT 0", name="never")])
    assert names(found) == {"writer": True, "never": False}


def test_collateral_changes_are_one_more_verdict() -> None:
    allowed = AllowedChange(table="acls", kinds=["update"], where={"id": 2})
    assert names(grade(evidence(), [WRITER], [allowed])) == {"writer": True, "no_collateral_changes": True}
    assert names(grade(evidence(), [WRITER], [])) == {"writer": True, "no_collateral_changes": False}
    assert names(grade(evidence(), [WRITER], [], ["acls.role"])) == {"writer": True, "no_collateral_changes": True}
    assert names(grade(evidence(), [WRITER], None, ["acls.role"])) == {"writer": True}
    more = database("UPDATE acls SET role = 'writer' WHERE id = 2", "DELETE FROM log")
    found = grade(evidence(more), [WRITER], [allowed])
    assert names(found) == {"writer": True, "no_collateral_changes": False}
    assert "delete log rowid=1" in found.verdicts[1].message


@pytest.mark.parametrize(
    ("spec", "final", "code"),
    [
        (sql("DROP TABLE acls"), FINAL, "QUERY_REFUSED"),
        (sql("SELECT * FROM nowhere", []), FINAL, "QUERY_REFUSED"),
        (sql("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT max(x) FROM r"), FINAL, "QUERY_TOO_EXPENSIVE"),
        (sql("SELECT 1"), None, "UNSUPPORTED"),
        (sql("SELECT 1"), b"no database", "EXECUTION_ERROR"),
        (VerifierSpec(verifier_type="state_diff"), None, "UNSUPPORTED"),
        (
            VerifierSpec(verifier_type="state_diff", validation_config={"allowed": [{"table": "nowhere"}]}),
            FINAL,
            "VALIDATION_ERROR",
        ),
    ],
)
def test_what_cannot_be_decided_never_passes_and_hides_nothing_else(spec: VerifierSpec, final: bytes | None, code: str) -> None:
    found = grade(evidence(final), [spec, ANSWER])
    names(found)
    first, second = found.verdicts
    assert not found.passed
    assert not first.passed
    assert first.error is not None
    assert first.error["code"] == code
    assert first.message == first.error["message"]
    assert second.passed


def test_an_exception_in_a_verifier_never_passes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name, verifier_type = "broken", "broken"

        def verify(self, evidence: Evidence) -> Verdict:
            raise RecursionError("too deep")

    monkeypatch.setattr(grading, "_TYPES", {"response": lambda name, config: Broken()})
    found = grade(evidence(), [ANSWER])
    assert names(found) == {"broken": False}
    assert found.verdicts[0].error == {
        "message": "Verifier 'broken' raised RecursionError: too deep",
        "code": "EXECUTION_ERROR",
    }
    assert "verifier broken raised" in caplog.text


def test_without_anything_to_decide_there_is_no_grade() -> None:
    with pytest.raises(ValidationFailed, match="no verifier"):
        grade(evidence(), [])
    assert names(grade(evidence(), [], [], ["acls.role"])) == {"no_collateral_changes": True}


def test_evidence_and_images_are_left_alone() -> None:
    given = evidence()
    before = asdict(given)
    initial, final = bytes(bytearray(INITIAL)), bytes(bytearray(FINAL))
    grade(given, [WRITER, ANSWER, CALLED, sql("DELETE FROM acls")], [])
    assert asdict(given) == before
    assert (given.initial, given.final) == (initial, final)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"verifier_type": "judge"}, "verifier_type"),
        ({"verifier_type": "x" * 10_000}, "verifier_type"),
        ({}, "verifier_type"),
        ({"verifier_type": 5}, "verifier_type"),
        ({"verifier_type": "response", "config": {}}, "config"),
        ({"verifier_type": "response", "validation_config": []}, "validation_config"),
        ({"verifier_type": "response", "validation_config": {"contain": "x"}}, "validation_config.contain"),
    ],
)
def test_wrong_specs_say_where(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_verifier(spec)
    assert caught.value.field == field
    assert caught.value.hint
    assert len(json.dumps(caught.value.body())) < 5_000
    with pytest.raises(ValidationFailed) as caught:
        parse_verifiers([ANSWER, spec])
    assert caught.value.field == f"verifiers.1.{field}"


def test_a_misspelt_type_is_recognised() -> None:
    with pytest.raises(ValidationFailed, match="no verifier of the type 'database_sate'") as caught:
        parse_verifier({"verifier_type": "database_sate"})
    assert str(caught.value.hint).startswith("Did you mean 'database_state'?")
    assert parse_verifier(caught.value.example)


def test_every_example_is_a_config_that_fits() -> None:
    for kind, config in grading.EXAMPLES.items():
        assert parse_verifier({"verifier_type": kind, "validation_config": config}).verifier_type == kind


def test_wrong_changes_name_the_scenarios_own_field() -> None:
    with pytest.raises(ValidationFailed) as caught:
        grade(evidence(), [WRITER], [], ["etag"])
    assert caught.value.field == "ignored_changes.0"
