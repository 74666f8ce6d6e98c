"""What runs an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from openenv.core.evals.types import EvalConfig, EvalResult

__all__ = ["EvalHarness"]


class EvalHarness(ABC):
    """Runs evaluations. Write ``run``."""

    @abstractmethod
    def run(
        self, harness_version: str, library_versions: dict[str, str], dataset: str, eval_parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """Evaluate on a data set; the scores by name."""

    def run_from_config(self, config: EvalConfig) -> EvalResult:
        """Evaluate what a configuration describes; the scores together with it."""
        scores = self.run(
            harness_version=config.harness_version,
            library_versions=config.library_versions,
            dataset=config.dataset,
            eval_parameters=config.eval_parameters,
        )
        return EvalResult(config=config, scores=scores)

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self).__name__
