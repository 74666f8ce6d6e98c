from __future__ import annotations

import asyncio
import threading
from typing import ClassVar

import httpx
import pytest

from openenv import Environment, Observation, State, create_app
from openenv.environment import Execution
from openenv.types import Action
from tests.support.local import until

HELD, GO = threading.Event(), threading.Event()


class Wait(Action):
    """Wait, where it says so."""

    wait: bool = False


class Counted(State):
    """With something that changes in place."""

    notes: list[str]


class Slow(Environment[Wait, Observation, Counted]):
    """Waits in a step until it may go on."""

    execution: ClassVar[Execution] = "thread"

    def __init__(self) -> None:
        self.counted = Counted(notes=[])

    def reset(self) -> Observation:
        self.counted.notes.clear()
        return Observation()

    def step(self, action: Wait) -> Observation:
        self.counted.notes.append("a step")
        if action.wait:
            HELD.set()
            GO.wait(10)
        return Observation()

    @property
    def state(self) -> Counted:
        self.counted.episode_id, self.counted.step_count = self.episode_id, self.step_count
        return self.counted


@pytest.fixture(autouse=True)
def _fresh() -> None:
    HELD.clear()
    GO.clear()


async def test_over_http_a_busy_world_tells_the_state_before_the_running_step() -> None:
    app = create_app(Slow, env_name="slow", log=False)
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        session = (await http.post("/sessions")).json()["session_id"]
        named = {"X-Session-ID": session}
        await http.post("/reset", json={}, headers=named)
        first = await http.get("/state", headers=named)
        assert "x-openenv-busy" not in first.headers
        await http.post("/step", json={"action": {}}, headers=named)
        running = asyncio.create_task(http.post("/step", json={"action": {"wait": True}}, headers=named))
        await until(HELD.is_set)
        busy = await http.get("/state", headers=named)
        assert busy.headers["x-openenv-busy"] == "true"
        assert (busy.json()["step_count"], busy.json()["notes"]) == (1, ["a step"])
        GO.set()
        await running
        last = await http.get("/state", headers=named)
        assert (last.json()["step_count"], last.json()["notes"]) == (2, ["a step", "a step"])
        assert "x-openenv-busy" not in last.headers


async def test_who_has_not_asked_before_waits_for_the_step() -> None:
    app = create_app(Slow, env_name="slow", log=False)
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        named = {"X-Session-ID": (await http.post("/sessions")).json()["session_id"]}
        await http.post("/reset", json={}, headers=named)
        running = asyncio.create_task(http.post("/step", json={"action": {"wait": True}}, headers=named))
        await until(HELD.is_set)
        asked = asyncio.create_task(http.get("/state", headers=named))
        await asyncio.sleep(0.05)
        assert not asked.done()
        GO.set()
        await running
        assert (await asked).json()["step_count"] == 1
