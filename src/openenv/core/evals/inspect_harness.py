"""Evaluations by Inspect AI, which is loaded when one runs."""

from __future__ import annotations

import importlib
from typing import Any

from openenv.core.evals.base import EvalHarness

__all__ = ["InspectAIHarness"]

PASSED_ON = (
    "model_base_url",
    "max_samples",
    "max_connections",
    "temperature",
    "max_tokens",
    "epochs",
    "solver",
    "scorer",
)
"""Parameters that go to ``inspect_ai.eval`` under their own names unless they are None."""
PASSED_ON_UNLESS_EMPTY = ("task_args", "model_args")


class InspectAIHarness(EvalHarness):
    """Runs an Inspect AI task on a model.

    ``eval_parameters`` has the ``model`` (``"openai/gpt-4o"``), and may have the ``task`` in the place of the data set's name,
    and ``model_base_url``, ``model_args``, ``task_args``, ``max_samples``, ``max_connections``, ``temperature``,
    ``max_tokens``, ``epochs``, ``solver`` and ``scorer`` as ``inspect_ai.eval`` takes them.

    Args:
        log_dir: Where Inspect AI writes its logs; where it likes, unless given.
    """

    def __init__(self, *, log_dir: str | None = None) -> None:
        self.log_dir = log_dir

    def run(
        self, harness_version: str, library_versions: dict[str, str], dataset: str, eval_parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """The metrics of the task's scorers by name.

        Raises:
            ImportError: The package ``inspect-ai`` is not installed.
            ValueError: There is no ``model``.
            RuntimeError: The evaluation did not succeed.
        """
        try:
            inspect_ai: Any = importlib.import_module("inspect_ai")
        except ImportError as error:
            raise ImportError("InspectAIHarness.run needs Inspect AI: pip install inspect-ai") from error
        if not eval_parameters.get("model"):
            raise ValueError("eval_parameters must name a 'model', for example {'model': 'openai/gpt-4o'}")
        task = eval_parameters.get("task") or dataset
        logs = inspect_ai.eval(task, **self._arguments(eval_parameters))
        if not logs:
            raise RuntimeError(f"Inspect AI returned no log for {task!r}: look at the names of the task and of the model")
        log = logs[0]
        if log.status != "success":
            because = f": {str(getattr(log.error, 'message', log.error))[:500]}" if log.error else ""
            raise RuntimeError(f"Inspect AI's evaluation of {task!r} ended with the status {log.status!r}{because}")
        return _scores(log)

    def _arguments(self, parameters: dict[str, Any]) -> dict[str, Any]:
        arguments = {"model": parameters["model"]}
        arguments |= {name: parameters[name] for name in PASSED_ON_UNLESS_EMPTY if parameters.get(name)}
        arguments |= {name: parameters[name] for name in PASSED_ON if parameters.get(name) is not None}
        if self.log_dir is not None:
            arguments["log_dir"] = self.log_dir
        return arguments


def _scores(log: Any) -> dict[str, Any]:
    if log.results is None:
        return {}
    return {name: metric.value for score in log.results.scores for name, metric in score.metrics.items()}
