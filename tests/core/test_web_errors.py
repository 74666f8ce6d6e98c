"""What is wrong on the web page is answered as a typed error, and an action is found as OpenEnv 0.10 finds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv.core.env_server import CallToolAction
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.env_server.web_interface import create_web_interface_app


class Say(Action):
    message: str = ""


class Heard(Environment[Any, Any, Any]):
    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        if kwargs.get("fail"):
            raise KeyError("reset")
        return Observation()

    def step(self, action: Any, *args: Any, **kwargs: Any) -> Observation:
        heard = getattr(action, "message", None)
        if heard == "fail":
            raise KeyError("step")
        if heard == "exit":
            raise SystemExit(3)
        return Observation(metadata={"heard": heard})

    @property
    def state(self) -> State:
        return State()


def fails() -> Any:
    raise KeyError("factory")


def served(factory: Any, action: Any) -> TestClient:
    app = create_web_interface_app(factory, action, Observation)
    app.state.openenv.guard = type(app.state.openenv.guard).of(["testserver"], None)
    return TestClient(app)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with served(Heard, Say) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ({"message": "m", "action": {"message": "a"}}, "m"),
        ({"message": "m"}, "m"),
        ({"action": {"message": "a"}}, "a"),
        ({}, ""),
    ],
)
def test_a_message_comes_before_an_action(client: TestClient, body: Any, heard: str) -> None:
    assert client.post("/web/step", json=body).json()["metadata"] == {"heard": heard}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/web/step", {"message": "fail"}),
        ("/web/step", {"message": "exit"}),
        ("/web/step", {"message": {"a": 1}}),
        ("/web/reset", {"fail": True}),
    ],
)
def test_what_the_environment_raises_is_typed(client: TestClient, path: str, body: Any) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "EXECUTION_ERROR")
    assert client.post("/web/step", json={"message": "ok"}).status_code == 200


def test_an_action_that_is_no_object_is_refused(client: TestClient) -> None:
    assert client.post("/web/step", json={"action": [1]}).status_code == 422


def test_a_factory_s_failure_is_typed() -> None:
    with served(fails, Say) as client:
        answer = client.post("/web/reset", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "FACTORY_ERROR")
        assert "factory'" not in answer.text


@pytest.mark.parametrize("depth", [300, 100_000])
def test_arguments_nested_too_deeply_are_typed(depth: int) -> None:
    with served(Heard, CallToolAction) as client:
        action = {"type": "call_tool", "tool_name": "x", "arguments": '{"a":' + "[" * depth + "]" * depth + "}"}
        answer = client.post("/web/step", json={"action": action})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "EXECUTION_ERROR"
