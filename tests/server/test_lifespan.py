"""An application's own lifespan encloses the environments'."""

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
