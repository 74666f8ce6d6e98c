"""Environments with a catalogue of tasks."""

from __future__ import annotations

from typing import Any

from openenv.core.env_server import Action, Environment, Observation, State, create_app

TASKS = {"train": [{"id": n} for n in range(5)], "x": ["one", "two"], "weird": []}


class Tasky(Environment):
    """Its methods are plain."""

    def reset(self, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Action, **kwargs: Any) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State()

    def list_splits(self) -> list[Any]:
        return ["train", {"name": "x", "type": "test"}, "weird"]

    def list_tasks(self, split: str) -> list[Any]:
        return TASKS[split]

    def num_tasks(self, split: str) -> int:
        return len(TASKS[split])

    def get_task(self, split: str, index: int) -> Any:
        return TASKS[split][index]

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[Any]:
        return TASKS[split][start:stop]


class AsyncTasky(Tasky):
    """Its methods are coroutines."""

    async def list_splits(self) -> list[Any]:  # type: ignore[override]
        return super().list_splits()

    async def get_task(self, split: str, index: int) -> Any:
        return super().get_task(split, index)


tasky = create_app(Tasky, Action, Observation, env_name="tasky")
asynctasky = create_app(AsyncTasky, Action, Observation, env_name="AsyncTasky")
