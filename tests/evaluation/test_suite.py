from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.evaluation import load_suite, suite_digest
from openenv.evaluation.suite import settled
from openenv.scenario import Suite
from tests.evaluation.build import SUITE, library

SCENARIO: dict[str, Any] = {
    "id": "one",
    "task": "Do it.",
    "verifiers": [{"verifier_type": "response", "validation_config": {"equals": "done"}}],
}


def write(path: Path, body: Any) -> Path:
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def suite_of(*scenarios: Any, **known: Any) -> dict[str, Any]:
    return {"name": "small", "environment": "echo", "scenarios": list(scenarios)} | known


def test_a_folder_merges_its_files_after_suite_json() -> None:
    suite = library()
    assert [scenario.id for scenario in suite.scenarios] == ["move-explicit", "move-natural", "lend-in-order", "count-poems"]
    assert all(scenario.ignored_changes == ["*.touched_at"] for scenario in suite.scenarios)


def test_a_file_alone_is_a_suite(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path / "any.json", suite_of(SCENARIO))).name == "small"


def test_an_installed_package_offers_a_suite_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shelf_suites"
    package.mkdir()
    (package / "__init__.py").write_text("")
    write(package / "suite.json", suite_of(SCENARIO))
    write(package / "more.json", {"scenarios": [SCENARIO | {"id": "two"}]})
    metadata = tmp_path / "shelf_suites-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf-suites\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[openenv.suites]\nshelf = shelf_suites\ngone = shelf_suites_gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [scenario.id for scenario in load_suite("shelf").scenarios] == ["one", "two"]
    with pytest.raises(ConfigurationError, match="shelf_suites_gone"):
        load_suite("gone")
    with pytest.raises(ConfigurationError, match="No suite 'shelv'") as raised:
        load_suite("shelv")
    assert raised.value.hint is not None
    assert "shelf" in raised.value.hint


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("[1, 2", r"suite\.json is not JSON: .* at line 1"),
        (json.dumps([]), "a suite is a JSON object, not list"),
        (json.dumps({"name": "x", "environment": "echo"}), "has no list of scenarios"),
        (json.dumps(suite_of()), "scenarios: List should have at least 1 item"),
        (json.dumps(suite_of(SCENARIO, SCENARIO)), "two scenarios have the id 'one'"),
        (json.dumps(suite_of(SCENARIO, SCENARIO | {"id": "two", "max_steps": 0})), r"suite\.json, scenario 'two': max_steps: "),
        (json.dumps(suite_of(SCENARIO | {"id": "two", "colour": 1})), r"scenario 'two': colour: "),
        (json.dumps(suite_of(7)), "scenario number 0"),
        (json.dumps(suite_of(SCENARIO) | {"Name": "x"}), "Name: "),
    ],
)
def test_errors_say_which_file_scenario_and_field(tmp_path: Path, body: str, told: str) -> None:
    (tmp_path / "suite.json").write_text(body)
    with pytest.raises(ConfigurationError, match=told):
        load_suite(tmp_path)


def test_errors_in_a_further_file_name_it(tmp_path: Path) -> None:
    write(tmp_path / "suite.json", suite_of(SCENARIO))
    write(tmp_path / "zeta.json", [SCENARIO | {"id": "late", "difficulty": "absurd"}])
    with pytest.raises(ConfigurationError, match=r"zeta\.json, scenario 'late': difficulty"):
        load_suite(tmp_path)


def test_a_folder_without_suite_json_is_none(tmp_path: Path) -> None:
    write(tmp_path / "a.json", suite_of(SCENARIO))
    write(tmp_path / "b.json", [])
    with pytest.raises(ConfigurationError, match=r"has no suite\.json"):
        load_suite(tmp_path)


def test_a_solution_acts_as_the_scenarios_user(tmp_path: Path) -> None:
    call = {"tool": "t", "context": {"x-user": "other"}}
    with pytest.raises(ConfigurationError, match=r"scenario 'one': solution\.0: t has a context of its own"):
        load_suite(write(tmp_path / "s.json", suite_of(SCENARIO | {"context": {"x-user": "me"}, "solution": [call]})))


def test_the_digest_survives_a_round_trip_and_sees_every_change() -> None:
    suite = load_suite(SUITE)
    again = Suite.model_validate(json.loads(settled(suite).model_dump_json()))
    assert suite_digest(again) == suite_digest(suite)
    assert [scenario.ignored_changes for scenario in again.scenarios] == [["*.touched_at"]] * 4
    again.scenarios[0].max_steps += 1
    assert suite_digest(again) != suite_digest(suite)
