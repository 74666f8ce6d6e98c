"""The Task API of a native environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv import Action, Environment, Observation, State, create_app

TASKS = [{"id": number} for number in range(5)]


class Plain(Environment[Action, Observation, State]):
    def reset(self) -> Observation:
        return Observation()

    def step(self, action: Action) -> Observation:
        return Observation()


class Catalogue(Plain):
    def list_splits(self) -> list[Any]:
        return ["train", "hard", {"name": "last", "type": "test"}]

    def list_tasks(self, split: str) -> list[Any]:
        return TASKS

    def num_tasks(self, split: str) -> int:
        return len(TASKS)

    def get_task(self, split: str, index: int) -> Any:
        return TASKS[index]

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[Any]:
        return TASKS[start:stop]


class Wrong(Plain):
    def list_splits(self) -> int:
        return 5

    def list_tasks(self, split: str) -> None:
        return


@pytest.fixture
def catalogue() -> Iterator[TestClient]:
    with TestClient(create_app(Catalogue, env_name="things")) as client:
        yield client


def test_a_native_environment_has_a_catalogue(catalogue: TestClient) -> None:
    assert catalogue.get("/things/splits").json() == [
        {"name": "train", "type": "train"},
        {"name": "hard", "type": "validation"},
        {"name": "last", "type": "test"},
    ]
    ask = {"split": "train"}
    assert catalogue.post("/things/tasks", json=ask).json() == {"tasks": TASKS, "env_name": "things"}
    assert catalogue.post("/Things/num_tasks", json=ask).json() == {"num_tasks": 5}
    assert catalogue.post("/things/task", json=ask | {"index": 3}).json() == {"task": {"id": 3}}
    assert catalogue.post("/things/task_range", json=ask | {"start": 3}).json() == {"tasks": TASKS[3:]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/other/tasks", {"split": "train"}, 404),
        ("/things/tasks", {}, 422),
        ("/things/tasks", {"split": "train", "more": 1}, 422),
        ("/things/task", {"split": "train", "index": 9}, 400),
    ],
)
def test_what_it_refuses(catalogue: TestClient, path: str, body: Any, status: int) -> None:
    assert catalogue.post(path, json=body).status_code == status


def test_without_a_catalogue_it_says_so() -> None:
    with TestClient(create_app(Plain, env_name="plain")) as client:
        assert client.get("/plain/splits").status_code == 501
        assert client.post("/plain/task", json={"split": "train", "index": 0}).status_code == 501


def test_an_answer_that_is_no_list_is_the_environment_s_fault() -> None:
    with TestClient(create_app(Wrong, env_name="wrong")) as client:
        for answer in (client.get("/wrong/splits"), client.post("/wrong/tasks", json={"split": "train"})):
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "EXECUTION_ERROR"
