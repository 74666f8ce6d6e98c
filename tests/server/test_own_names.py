"""Names of parameters that the server fills itself are nobody's to send."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv import Action, AsyncEnvironment, Environment, Observation, State, create_app
from openenv.core.env_server import Environment as CoreEnvironment
from openenv.core.env_server import Observation as CoreObservation
from openenv.core.env_server import create_app as core_create_app


class Open(Environment[Action, Observation, State]):
    def reset(self, **more: Any) -> Observation:
        return Observation(metadata=more)

    def step(self, action: Action, **more: Any) -> Observation:
        return Observation(metadata=more)


class Later(AsyncEnvironment[Action, Observation, State]):
    async def reset(self, **more: Any) -> Observation:
        return Observation(metadata=more)

    async def step(self, action: Action, **more: Any) -> Observation:
        return Observation(metadata=more)


class Guest(CoreEnvironment[Any, Any, Any]):
    def reset(self, seed: int | None = None, episode_id: str | None = None, **more: Any) -> Observation:
        return Observation(metadata=more)

    def step(self, action: Any, timeout_s: float | None = None, **more: Any) -> Observation:
        return Observation(metadata=more)

    @property
    def state(self) -> State:
        return State()


class LoopGuest(Guest):
    async def step_async(self, action: Any, timeout_s: float | None = None, **more: Any) -> Observation:
        return Observation(metadata=more)


@pytest.mark.parametrize("environment", [Open, Later])
def test_self_is_refused(environment: Any) -> None:
    with TestClient(create_app(environment)) as client:
        bodies: list[tuple[str, dict[str, Any]]] = [("/reset", {"self": 1}), ("/step", {"action": {}, "self": 1})]
        for path, body in bodies:
            answer = client.post(path, json=body)
            assert answer.status_code == 422
            assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
            assert answer.json()["error"]["field"] == "self"
            del body["self"]
            assert client.post(path, json=body | {"other": 2}).status_code == 200
        with client.websocket_connect("/ws") as socket:
            socket.send_json({"type": "reset", "data": {"self": 1}})
            assert socket.receive_json()["data"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("environment", [Guest, LoopGuest])
def test_a_guest_is_not_given_it(environment: Any) -> None:
    with TestClient(core_create_app(environment, Action, CoreObservation)) as client:
        bodies: list[tuple[str, dict[str, Any]]] = [("/reset", {"self": 1}), ("/step", {"action": {}, "self": 1})]
        for path, body in bodies:
            answer = client.post(path, json=body | {"other": 2})
            assert answer.status_code == 200
            assert answer.json()["metadata"] == {"other": 2}
