"""The Task API of a native environment."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv import Action, Environment, Observation, State, create_app
from openenv.core.env_server import Environment as CoreEnvironment
from openenv.core.env_server import create_app as core_create_app

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


class LazyCatalogue:
    """Answers that are made when they are read."""

    closed = False

    def list_splits(self) -> Iterator[str]:
        yield "train"

    def list_tasks(self, split: str) -> Any:
        if split == "endless":
            return itertools.count()
        if split == "later":
            raise NotImplementedError("later")
        return {"a": 1} if split == "named" else self.items()

    def items(self) -> Iterator[int]:
        for number in range(3):
            assert not self.closed, "an environment that was closed is used"
            assert threading.get_ident() != LOOP[0], "on the event loop"
            yield number

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> Any:
        return self.items()

    num_tasks = 5

    def close(self) -> None:
        self.closed = True


class Lazy(LazyCatalogue, Plain):
    """A native one."""


class LazyGuest(LazyCatalogue, CoreEnvironment[Any, Any, Any]):
    """One of OpenEnv 0.10's kind."""

    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Any, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State()


class LazyLoopGuest(LazyGuest):
    """The same, with an asynchronous step."""

    async def step_async(self, action: Any, *args: Any, **kwargs: Any) -> Observation:
        return Observation()


LOOP = [0]


@pytest.fixture(params=[Lazy, LazyGuest, LazyLoopGuest])
def lazy(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    make: Any = create_app if request.param is Lazy else core_create_app
    app = make(request.param, Action, Observation, env_name="lazy")

    @app.get("/loop")  # type: ignore[untyped-decorator]
    async def loop() -> int:
        LOOP[0] = threading.get_ident()
        return 0

    with TestClient(app) as client:
        client.get("/loop")
        yield client


def test_lazy_answers_are_made_where_the_environment_runs(lazy: TestClient) -> None:
    ask = {"split": "train"}
    assert lazy.get("/lazy/splits").json() == [{"name": "train", "type": "train"}]
    assert lazy.post("/lazy/tasks", json=ask).json()["tasks"] == [0, 1, 2]
    assert lazy.post("/lazy/task_range", json=ask).json() == {"tasks": [0, 1, 2]}
    assert lazy.post("/lazy/tasks", json={"split": "named"}).json()["tasks"] == {"a": 1}


def test_an_answer_without_an_end_is_an_error(lazy: TestClient) -> None:
    answer = lazy.post("/lazy/tasks", json={"split": "endless"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "EXECUTION_ERROR"
    assert "did not end within 100000 items" in answer.json()["error"]["message"]


def test_what_is_not_implemented_or_no_method_is_not_supported(lazy: TestClient) -> None:
    for path, split in (("/lazy/tasks", "later"), ("/lazy/num_tasks", "train")):
        answer = lazy.post(path, json={"split": split})
        assert answer.status_code == 501
        assert "is not supported for this environment" in answer.json()["detail"]


def test_a_wrong_name_is_counted(catalogue: TestClient) -> None:
    assert catalogue.get("/other/splits").json() == {"detail": "unknown environment 'other'"}
    assert 'type="validation"} 1.0' in catalogue.get("/metrics").text
