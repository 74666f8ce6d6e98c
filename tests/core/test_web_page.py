"""The web page of ``ENABLE_WEB_INTERFACE``: who may use it, on which thread its environment lives, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.env_server.web_interface import create_web_interface_app


class Say(Action):
    word: str


class Threads(Environment[Say, Observation, State]):
    """Notes on which threads it is used."""

    seen: dict[str, set[int]]

    def __init__(self) -> None:
        super().__init__()
        self.note("factory")

    @classmethod
    def note(cls, what: str) -> None:
        cls.seen.setdefault(what, set()).add(threading.get_ident())

    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        self.note("reset")
        return Observation()

    def step(self, action: Say, **kwargs: Any) -> Observation:
        self.note("step")
        return Observation(metadata={"heard": action.word})

    @property
    def state(self) -> State:
        self.note("state")
        return State(step_count=0)

    def close(self) -> None:
        self.note("close")


@pytest.fixture
def page() -> Iterator[TestClient]:
    Threads.seen = {}
    app = create_web_interface_app(Threads, Say, Observation)
    app.state.openenv.guard = type(app.state.openenv.guard).of(["testserver"], None)
    with TestClient(app) as client:
        yield client


def test_one_thread_from_factory_to_close(page: TestClient) -> None:
    assert page.post("/web/reset").status_code == 200
    assert page.post("/web/step", json={"action": {"word": "hi"}}).json()["metadata"] == {"heard": "hi"}
    assert page.get("/web/state").status_code == 200
    page.__exit__(None, None, None)
    assert sorted(Threads.seen) == ["close", "factory", "reset", "state", "step"]
    assert len(set.union(*Threads.seen.values())) == 1


@pytest.mark.parametrize(("method", "path"), [("GET", "/web/"), ("GET", "/web/metadata"), ("GET", "/web/state")])
def test_pages_of_other_origins_read_nothing(page: TestClient, method: str, path: str) -> None:
    assert page.request(method, path, headers={"Origin": "http://evil.example"}).status_code == 403
    assert page.request(method, path, headers={"Origin": "http://testserver"}).status_code == 200


@pytest.mark.parametrize("path", ["/web/reset", "/web/step"])
def test_pages_of_other_origins_change_nothing(page: TestClient, path: str) -> None:
    refused = page.post(path, content='{"action": {"word": "hi"}}', headers={"Origin": "http://evil.example"})
    assert refused.status_code == 403
    assert Threads.seen == {}


def test_pages_of_other_origins_are_told_nothing(page: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), page.websocket_connect("/ws/ui", headers={"Origin": "http://evil.example"}):
        pass
    with page.websocket_connect("/ws/ui", headers={"Origin": "http://testserver"}) as socket:
        assert socket.receive_json()["type"] == "state_update"
