"""Evaluation harnesses, and Inspect AI's where it is missing and where something answers in its place."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from openenv.core.evals import EvalConfig, EvalHarness, EvalResult, InspectAIHarness


class Half(EvalHarness):
    """Half right, whatever is asked."""

    def run(
        self, harness_version: str, library_versions: dict[str, str], dataset: str, eval_parameters: dict[str, Any]
    ) -> dict[str, Any]:
        return {"accuracy": 0.5, "asked": [harness_version, library_versions, dataset, eval_parameters]}


CONFIG = EvalConfig(harness_name="Half", harness_version="1", library_versions={"a": "2"}, dataset="d", eval_parameters={"x": 1})


def test_a_configuration_is_run() -> None:
    harness = Half()
    result = harness.run_from_config(CONFIG)
    assert harness.name == "Half"
    assert result == EvalResult(config=CONFIG, scores={"accuracy": 0.5, "asked": ["1", {"a": "2"}, "d", {"x": 1}]})
    assert EvalResult.model_validate_json(result.model_dump_json()) == result


def test_a_configuration_is_whole_and_has_nothing_else() -> None:
    with pytest.raises(ValidationError):
        EvalConfig(harness_name="Half")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        EvalConfig.model_validate({**CONFIG.model_dump(), "other": 1})
    with pytest.raises(ValidationError):
        CONFIG.model_copy().dataset = 3  # type: ignore[assignment]


def test_a_harness_has_run() -> None:
    with pytest.raises(TypeError, match="abstract"):
        EvalHarness()  # type: ignore[abstract]


def test_without_inspect_ai_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    harness = InspectAIHarness(log_dir="logs")
    assert harness.name == "InspectAIHarness"
    with pytest.raises(ImportError, match="pip install inspect-ai"):
        harness.run("1", {}, "d", {"model": "m"})


class Inspect(ModuleType):
    """What a harness needs of Inspect AI, which downloads vocabularies where it runs for real."""

    def __init__(self) -> None:
        super().__init__("inspect_ai")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.logs: list[Any] = []

    def eval(self, task: str, **arguments: Any) -> list[Any]:
        self.calls.append((task, arguments))
        return self.logs


@pytest.fixture
def inspect_ai(monkeypatch: pytest.MonkeyPatch) -> Inspect:
    made = Inspect()
    monkeypatch.setitem(sys.modules, "inspect_ai", made)
    return made


def log(status: str = "success", error: Any = None, **metrics: float) -> Any:
    score = SimpleNamespace(name="match", metrics={name: SimpleNamespace(value=value) for name, value in metrics.items()})
    return SimpleNamespace(status=status, error=error, results=SimpleNamespace(scores=[score]) if metrics else None)


def test_parameters_go_to_inspect_ai(inspect_ai: Inspect) -> None:
    inspect_ai.logs = [log(accuracy=0.5, stderr=0.1)]
    asked = {"model": "m", "task": "t.py", "task_args": {"n": 2}, "model_args": {}, "temperature": 0.0, "epochs": None}
    assert InspectAIHarness(log_dir="logs").run("1", {}, "d", {**asked, "other": 1}) == {"accuracy": 0.5, "stderr": 0.1}
    assert InspectAIHarness().run("1", {}, "d", {"model": "m"}) == {"accuracy": 0.5, "stderr": 0.1}
    assert inspect_ai.calls == [
        ("t.py", {"model": "m", "task_args": {"n": 2}, "temperature": 0.0, "log_dir": "logs"}),
        ("d", {"model": "m"}),
    ]


def test_an_evaluation_without_scores_has_none(inspect_ai: Inspect) -> None:
    inspect_ai.logs = [log()]
    assert InspectAIHarness().run("1", {}, "d", {"model": "m"}) == {}


@pytest.mark.parametrize(
    ("logs", "fault"),
    [
        ([], "returned no log for 'd'"),
        ([log("error", SimpleNamespace(message="out of tokens", traceback="..."))], "status 'error': out of tokens$"),
        ([log("cancelled")], "status 'cancelled'$"),
    ],
)
def test_an_evaluation_that_fails(inspect_ai: Inspect, logs: list[Any], fault: str) -> None:
    inspect_ai.logs = logs
    with pytest.raises(RuntimeError, match=fault):
        InspectAIHarness().run("1", {}, "d", {"model": "m"})


@pytest.mark.parametrize("parameters", [{}, {"model": None}, {"model": ""}])
def test_a_model_is_needed(inspect_ai: Inspect, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must name a 'model'"):
        InspectAIHarness().run("1", {}, "d", parameters)
