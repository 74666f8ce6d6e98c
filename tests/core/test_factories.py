"""Functions that make environments of OpenEnv 0.10's kind: when they are called, and what they may do wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from openenv.core.env_server import Action, Environment, HTTPEnvServer, Observation, State, create_app
from openenv.errors import ConfigurationError


class Plain(Environment[Any, Any, Any]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def observation(self) -> Observation:
        assert threading.get_ident() == self.thread, "on another thread than the factory"
        return Observation()

    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        return self.observation()

    def step(self, action: Any, *args: Any, **kwargs: Any) -> Observation:
        return self.observation()

    @property
    def state(self) -> State:
        self.observation()
        return State(step_count=3)


class Counted:
    """A factory that counts its calls."""

    def __init__(self, kind: type[Any] = Plain) -> None:
        self.kind = kind
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.kind()


class ClosedLater(Plain):
    closed = 0

    async def close(self) -> None:  # type: ignore[override]
        type(self).closed += 1


class ClosedBadly(Plain):
    def close(self) -> None:
        raise RuntimeError("close")


def leaves() -> Any:
    raise SystemExit(2)


def test_for_one_session_it_is_not_called_before_that() -> None:
    factory = Counted()
    app = create_app(factory, Action, Observation)
    assert factory.calls == 0
    with TestClient(app) as client:
        assert client.post("/reset", json={}).status_code == 200
        assert client.post("/step", json={"action": {}}).status_code == 200
        assert client.get("/state").json()["step_count"] == 3
    assert factory.calls == 3


def test_for_several_sessions_it_is_called_once() -> None:
    factory = Counted()
    create_app(factory, Action, Observation, max_concurrent_envs=4)
    assert factory.calls == 1


def test_it_is_called_when_somebody_asks_what_it_makes() -> None:
    factory = Counted()
    server = HTTPEnvServer(factory, Action, Observation)
    assert server.is_concurrency_safe
    assert factory.calls == 1


def test_an_asynchronous_close_is_awaited() -> None:
    ClosedLater.closed = 0
    create_app(Counted(ClosedLater), Action, Observation, max_concurrent_envs=2)
    assert ClosedLater.closed == 1


def test_what_close_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    create_app(Counted(ClosedBadly), Action, Observation, max_concurrent_envs=2)
    assert "raised in close when it was tried" in caplog.text


@pytest.mark.parametrize("mode", ["simulation", "production"])
def test_a_factory_that_leaves_does_not_end_the_process(mode: str) -> None:
    create_app(leaves, Action, Observation, mode=mode)


def test_a_factory_that_leaves_is_refused_where_its_class_must_be_known() -> None:
    with pytest.raises(ConfigurationError, match="SystemExit"):
        create_app(leaves, Action, Observation, max_concurrent_envs=2)


@pytest.mark.parametrize("factory", [Plain, Counted()])
def test_a_session_s_information_names_the_class(factory: Callable[[], Any]) -> None:
    app = FastAPI()
    server = HTTPEnvServer(factory, Action, Observation)
    server.register_routes(app)
    with TestClient(app) as client:
        information = server.get_session_info(client.post("/sessions").json()["session_id"])
        assert information is not None
        assert information.environment_type == "Plain"
