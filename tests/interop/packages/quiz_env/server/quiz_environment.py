"""A quiz over a small catalogue."""

from typing import Any
from uuid import uuid4

from openenv.core.env_server.interfaces import Environment

try:
    from ..models import QuizAction, QuizObservation, QuizState, QuizTask
except ImportError:
    from models import QuizAction, QuizObservation, QuizState, QuizTask

CATALOGUE = {
    "train": [(f"{n} + {n}", str(2 * n)) for n in range(1, 6)],
    "test": [("7 * 6", "42"), ("the capital of Peru", "lima")],
    "curious": [],
}
TRIES = 2


class QuizEnvironment(Environment[QuizAction, QuizObservation, QuizState]):
    """A task is chosen by its place in the catalogue, by its id, or given whole."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self._state = QuizState()
        self._answer = ""

    # The catalogue.

    def list_splits(self) -> list[Any]:
        return ["train", {"name": "test", "type": "test"}, "curious"]

    def list_tasks(self, split: str) -> list[QuizTask]:
        return [self.get_task(split, index) for index in range(self.num_tasks(split))]

    def num_tasks(self, split: str) -> int:
        return len(CATALOGUE[split])

    def get_task(self, split: str, index: int) -> QuizTask:
        if index < 0:
            raise IndexError(index)
        question = CATALOGUE[split][index][0]
        return QuizTask(id=f"{split}-{index}", question=question, level=len(question))

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[QuizTask]:
        return self.list_tasks(split)[start:stop]

    # The quiz.

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        split: str = "train",
        index: int | None = None,
        task: dict | str | None = None,
        **kwargs: Any,
    ) -> QuizObservation:
        if isinstance(task, str):
            split, _, number = task.rpartition("-")
            index = int(number)
        elif task is not None:
            split, index = "given", 0
        elif index is None:
            index = (seed or 0) % self.num_tasks(split)
        chosen = QuizTask(**task) if isinstance(task, dict) else self.get_task(split, index)
        self._answer = kwargs.get("answer", "") if isinstance(task, dict) else CATALOGUE[split][index][1]
        self._state = QuizState(episode_id=episode_id or str(uuid4()), split=split, index=index, task=chosen)
        return QuizObservation(question=chosen.question, left=TRIES, metadata={"task": chosen})

    def step(self, action: QuizAction, timeout_s: float | None = None, **kwargs: Any) -> QuizObservation:
        if self._state.task is None:
            raise RuntimeError("reset chooses a question first")
        self._state.step_count += 1
        correct = action.answer.strip().lower() == self._answer
        left = TRIES - self._state.step_count
        return QuizObservation(
            question=self._state.task.question, correct=correct, left=left, reward=int(correct), done=correct or left <= 0
        )

    @property
    def state(self) -> QuizState:
        return self._state
