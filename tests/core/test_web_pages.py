"""The pages of the web interface: what each is told, and that none holds up the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.env_server.web_interface import WebInterfaceManager, create_web_interface_app
from openenv.core.env_server.web_pages import OpenPages


class Told(Observation):
    text: str = ""


class Long(Environment[Action, Told, State]):
    def reset(self, *args: Any, **kwargs: Any) -> Told:
        return Told(text="ready")

    def step(self, action: Action, *args: Any, **kwargs: Any) -> Told:
        return Told(text="x" * 300_000)

    @property
    def state(self) -> State:
        return State(step_count=0)


class Socket:
    """A page that reads as much as a test lets it."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads
        self.got: list[str] = []
        self.more = asyncio.Event()
        self.closed: int | None = None

    async def accept(self) -> None:
        return

    async def send_text(self, text: str) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.got.append(text)
        self.more.set()

    async def receive(self) -> Any:
        return await asyncio.Event().wait()

    async def close(self, code: int) -> None:
        self.closed = code

    async def next(self) -> str:
        await self.more.wait()
        self.more.clear()
        return self.got[-1]


def manager() -> WebInterfaceManager:
    return WebInterfaceManager(Long(), Action, Told)


async def test_a_page_that_reads_nothing_holds_up_nobody() -> None:
    playing = manager()
    dead, alive = Socket(reads=False), Socket(reads=True)
    for page in (dead, alive):
        await playing.connect_websocket(page)  # type: ignore[arg-type]
    await alive.next()
    await playing.reset_environment()
    assert '"ready"' in await alive.next()
    await playing.step_environment({})
    assert '"xxx' in await alive.next()
    assert dead.got == []
    await playing.close()


async def test_a_page_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(OpenPages, "SEND_S", 0.01)
    playing = manager()
    dead = Socket(reads=False)
    await playing.connect_websocket(dead)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        await playing.pages.watch(dead)  # type: ignore[arg-type]
    assert dead.closed == 1008
    assert playing.connected_clients == []
    assert "is given up" in caplog.text
    await playing.close()


async def test_only_the_new_page_is_told_that_it_is_there() -> None:
    playing = manager()
    first, second = Socket(reads=True), Socket(reads=True)
    await playing.connect_websocket(first)  # type: ignore[arg-type]
    await first.next()
    await playing.connect_websocket(second)  # type: ignore[arg-type]
    await second.next()
    assert len(first.got) == 1
    await playing.close()


async def test_pages_are_sent_the_newest_logs_only() -> None:
    playing = manager()
    for _ in range(10):
        await playing.step_environment({})
    page = Socket(reads=True)
    await playing.connect_websocket(page)  # type: ignore[arg-type]
    assert len(await page.next()) < 2 * WebInterfaceManager.LONGEST_LOGS
    assert len(playing.episode_state.action_logs) == 10
    await playing.close()


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = create_web_interface_app(Long, Action, Told)
    app.state.openenv.guard = type(app.state.openenv.guard).of(["testserver"], None)
    with TestClient(app) as client:
        yield client


def test_what_a_page_sends_means_nothing(client: TestClient) -> None:
    with client.websocket_connect("/ws/ui") as socket:
        first = socket.receive_json()
        assert first["type"] == "state_update"
        assert set(first["episode_state"]) >= {"episode_id", "step_count", "current_observation", "action_logs", "is_reset"}
        socket.send_bytes(b"\x00")
        socket.send_text("?")
        assert client.post("/web/step", json={"action": {}}).status_code == 200
        assert len(socket.receive_json()["episode_state"]["action_logs"]) == 1
