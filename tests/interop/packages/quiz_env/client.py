"""The quiz's client, which has the framework's older name; it asks for the catalogue over plain HTTP."""

import json
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from openenv_core.client_types import StepResult
from openenv_core.env_client import EnvClient

from .models import QuizAction, QuizObservation, QuizState, QuizTask

_opener = build_opener(ProxyHandler({}))


class QuizEnv(EnvClient[QuizAction, QuizObservation, QuizState]):
    """``num_tasks("test")``, ``get_task("test", 1)``, then ``reset(split="test", index=1)``."""

    def _step_payload(self, action: QuizAction) -> dict[str, Any]:
        return {"answer": action.answer}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[QuizObservation]:
        observation = QuizObservation(**payload["observation"], done=payload["done"], reward=payload["reward"])
        return StepResult(observation=observation, reward=observation.reward, done=observation.done)

    def _parse_state(self, payload: dict[str, Any]) -> QuizState:
        return QuizState.model_validate(payload)

    def list_splits(self) -> list[str]:
        """The names of the splits."""
        return [split["name"] for split in self._ask("splits")]

    def num_tasks(self, split: str) -> int:
        """How many tasks a split has."""
        return self._ask("num_tasks", {"split": split})["num_tasks"]

    def list_tasks(self, split: str) -> list[QuizTask]:
        """A split's tasks."""
        return [QuizTask(**task) for task in self._ask("tasks", {"split": split})["tasks"]]

    def get_task(self, split: str, index: int) -> QuizTask:
        """One of them."""
        return QuizTask(**self._ask("task", {"split": split, "index": index})["task"])

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[QuizTask]:
        """Some of them."""
        body = {"split": split, "start": start, "stop": stop}
        return [QuizTask(**task) for task in self._ask("task_range", body)["tasks"]]

    def _ask(self, what: str, body: Any = None) -> Any:
        request = Request(
            f"{self.base_url}/quiz_env/{what}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with _opener.open(request, timeout=10) as answer:
            return json.load(answer)
