"""An application's own lifespan encloses the environments'; one server in several applications is one server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from openenv.core.env_server import Action, Environment, HTTPEnvServer, Observation, State

NOTES: list[str] = []


class Noted(Environment[Any, Any, Any]):
    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Any, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State()

    def close(self) -> None:
        NOTES.append("closed")


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    NOTES.append("begins")
    yield
    NOTES.append("ends")


def test_environments_are_closed_before_the_application_s_own_lifespan_ends() -> None:
    NOTES.clear()
    app = FastAPI(lifespan=life)
    HTTPEnvServer(Noted, Action, Observation).register_routes(app)
    with TestClient(app) as client:
        assert client.post("/sessions").status_code == 201
    assert NOTES == ["begins", "closed", "ends"]


def test_two_registrations_are_one_server() -> None:
    NOTES.clear()
    app = FastAPI(lifespan=life)
    server = HTTPEnvServer(Noted, Action, Observation)
    server.register_routes(app)
    server.register_routes(app, mode="production")
    with TestClient(app) as client:
        assert client.post("/sessions").status_code == 201
        assert server.active_sessions == 1
    assert NOTES == ["begins", "closed", "ends"]


def test_two_applications_share_one_limit_and_end_with_the_last() -> None:
    NOTES.clear()
    server = HTTPEnvServer(Noted, Action, Observation, max_concurrent_envs=1)
    first, second = FastAPI(), FastAPI()
    server.register_routes(first)
    server.register_routes(second, mode="production")
    with TestClient(first) as one:
        made = one.post("/sessions").json()["session_id"]
        with TestClient(second) as two:
            assert two.post("/sessions").status_code == 503
            assert two.post("/reset", json={}).status_code in (404, 405)
            assert server.active_sessions == 1
        assert NOTES == []
        assert one.get(f"/sessions/{made}").status_code == 200
    assert NOTES == ["closed"]
