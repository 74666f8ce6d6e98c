"""Environments that are slow to make or give rewards that nobody expects."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.processes import Server, Servers

pytestmark = pytest.mark.e2e

SOURCE = """
import time
from pathlib import Path

from openenv import Action, Context, Environment, Observation, State, create_app


class Ask(Action):
    reward: str = "none"


REWARDS = {"nan": float("nan"), "inf": float("inf"), "huge": 10**400, "true": True, "three": 3, "none": None}


class Slow(Environment[Ask, Observation, State]):
    def __init__(self, context: Context) -> None:
        gate = context.query.get("gate")
        while gate and not Path(gate).exists():
            time.sleep(0.01)

    def reset(self) -> Observation:
        return Observation()

    def step(self, action: Ask) -> Observation:
        return Observation(reward=REWARDS[action.reward])


app = create_app(Slow, env_name="slow")
"""


@pytest.fixture(scope="module")
def server(module_serve: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow_environment.py").write_text(SOURCE)
    return module_serve("slow_environment:app", cwd=folder)


async def test_while_a_factory_takes_its_time_everybody_else_is_served(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "open"
    async with httpx.AsyncClient(base_url=server.url) as http:
        waiting = [
            asyncio.create_task(http.post("/sessions", params={"gate": str(gate)})),
            asyncio.create_task(http.post("/reset", params={"gate": str(gate)})),
        ]
        async with connect(f"{server.ws_url}/ws?gate={gate}") as socket:
            await socket.send('{"type":"reset"}')
            for _ in range(5):
                assert (await http.get("/health")).json() == {"status": "healthy"}
                assert (await http.post("/step", json={"action": {}})).status_code == 200
            assert not any(task.done() for task in waiting)
            gate.touch()
            assert json.loads(await socket.recv())["type"] == "observation"
        made, reset = await asyncio.gather(*waiting)
        assert (made.status_code, reset.status_code) == (201, 200)
        await http.delete(f"/sessions/{made.json()['session_id']}")


async def test_rewards_of_every_kind_on_both_transports(server: Server) -> None:
    expected = {"nan": (None, None), "inf": (None, None), "true": (True, 1.0), "three": (3, 3.0), "none": (None, None)}
    async with connect(f"{server.ws_url}/ws") as socket, httpx.AsyncClient(base_url=server.url) as http:
        for name, (raw, coerced) in expected.items():
            await socket.send(json.dumps({"type": "step", "data": {"reward": name}}))
            reward = json.loads(await socket.recv())["data"]["reward"]
            assert (type(reward), reward) == (type(raw), raw)
            reward = (await http.post("/step", json={"action": {"reward": name}})).json()["reward"]
            assert (type(reward), reward) == (type(coerced), coerced)
        huge = await http.post("/step", json={"action": {"reward": "huge"}})
        assert (huge.status_code, huge.json()["error"]["code"]) == (500, "EXECUTION_ERROR")
        await socket.send(json.dumps({"type": "step", "data": {"reward": "huge"}}))
        assert json.loads(await socket.recv())["data"]["reward"] == 10**400
    lines = [line for line in server.log().splitlines() if line.startswith("{")]
    assert lines
    for line in lines:
        json.loads(line, parse_constant=pytest.fail)
    assert "Traceback" not in server.log()
