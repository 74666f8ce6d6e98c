"""Types that have no JSON Schema are played all the same; only who asks for the schema is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ConfigDict
from starlette.testclient import TestClient

from openenv import Action, Environment, Observation, State, create_app
from openenv.core.env_server import Environment as CoreEnvironment
from openenv.core.env_server import Observation as CoreObservation
from openenv.core.env_server import create_app as core_create_app
from openenv.core.env_server.web_interface import create_web_interface_app


class Tensor:
    """Something that JSON knows nothing of."""


class HeavyAction(Action):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    tokens: Tensor | None = None


class HeavyObservation(Observation):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    tokens: Tensor | None = None


class HeavyState(State):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    tokens: Tensor | None = None


class Native(Environment[HeavyAction, HeavyObservation, HeavyState]):
    def reset(self) -> HeavyObservation:
        return HeavyObservation()

    def step(self, action: HeavyAction) -> HeavyObservation:
        return HeavyObservation()


class Guest(CoreEnvironment[Any, Any, Any]):
    def reset(self, *args: Any, **kwargs: Any) -> HeavyObservation:
        return HeavyObservation()

    def step(self, action: Any, *args: Any, **kwargs: Any) -> HeavyObservation:
        return HeavyObservation()

    @property
    def state(self) -> State:
        return State()


@pytest.mark.parametrize(
    ("action", "observation", "state", "named"),
    [
        (HeavyAction, Observation, State, "action"),
        (Action, HeavyObservation, State, "observation"),
        (Action, Observation, HeavyState, "state"),
    ],
)
def test_only_the_schema_is_missing(action: Any, observation: Any, state: Any, named: str) -> None:
    native = create_app(Native, action, observation, state_type=state)
    guest = core_create_app(Guest, action, observation, state_cls=state)
    for app in (native, guest):
        with TestClient(app) as client:
            answer = client.get("/schema")
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "EXECUTION_ERROR")
            assert f"the type of {named} has no JSON Schema" in answer.json()["error"]["message"]
            assert client.post("/reset", json={}).status_code == 200
            assert client.post("/step", json={"action": {}}).status_code == 200
            assert client.get("/openapi.json").status_code == 200


def test_the_web_page_says_that_there_is_none() -> None:
    with TestClient(create_web_interface_app(Guest, HeavyAction, CoreObservation)) as client:
        page = client.get("/web/")
        assert page.status_code == 200
        assert "the type of action has no JSON Schema" in page.text
