"""The two built-in middleware, and one of a user's own, on every transport of a real server."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from openenv import create_app
from openenv.errors import ConfigurationError
from openenv.middleware.metrics import Histogram
from tests.support.processes import ROOT, Servers
from tests.support.toys import Notes


class Counting:
    """One hook is enough."""

    def before(self, operation: Any) -> None:
        """Nothing."""


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_list", "arguments": {}}}
STEP = {"type": "call_tool", "tool_name": "notes_list"}


@pytest.mark.e2e
async def test_every_transport_is_logged_and_counted(serve: Servers) -> None:
    server = serve("tests.support.toys:notes_app", cwd=ROOT)
    async with httpx.AsyncClient(base_url=server.url) as http:
        made = (await http.post("/sessions")).json()["session_id"]
        assert (await http.post("/step", json={"action": STEP}, headers={"X-Session-ID": made})).status_code == 200
        create = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}
        rpc = (await http.post("/mcp", json=create)).json()["result"]["session_id"]
        call = CALL | {"params": {"name": "notes_list", "arguments": {}, "session_id": rpc}}
        assert "result" in (await http.post("/mcp", json=call)).json()
        async with connect(f"{server.ws_url}/ws") as socket:
            for message in ({"type": "step", "data": STEP}, {"action": STEP}, {"type": "mcp", "data": CALL}, {"type": "odd"}):
                await socket.send(json.dumps(message))
                await socket.recv()
            live = (await http.get("/metrics")).text
        async with connect(f"{server.ws_url}/mcp") as socket:
            await socket.send(json.dumps(CALL))
            await socket.recv()
        assert (await http.post("/step", content=b"{bad")).status_code == 422
        for session in (made, rpc):
            await http.delete(f"/sessions/{session}")
        counted = (await http.get("/metrics")).text
    assert 'openenv_active_sessions{env="notes"} 3.0' in live
    assert 'openenv_steps_total{env="notes",status="success"} 6.0' in counted
    assert 'openenv_steps_total{env="notes",status="error"} 0.0' in counted
    assert 'openenv_step_duration_seconds{env="notes",quantile="0.95"}' in counted
    assert 'openenv_errors_total{env="notes",type="validation"} 2.0' in counted
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    closed = [line for line in lines if line["event"] == "session.close"]
    assert sorted(line["transport"] for line in closed) == ["http", "mcp", "mcp-websocket", "websocket"]
    episodes = [line for line in lines if line["event"] == "episode"]
    assert sorted(line["steps"] for line in episodes) == [1, 1, 1, 3]
    assert {line["session"] for line in episodes} == {line["session"] for line in closed}


async def test_a_middleware_of_ones_own_refuses_on_every_transport(serve: Servers) -> None:
    server = serve("tests.support.toys:guarded_app", cwd=ROOT)
    async with httpx.AsyncClient(base_url=server.url) as http:
        for method, path in [("POST", "/step"), ("POST", "/mcp"), ("GET", "/metrics"), ("GET", "/schema"), ("GET", "/metadata")]:
            assert (await http.request(method, path)).status_code == 401, path
        assert (await http.get("/health")).status_code == 200
    for path in ("/ws", "/mcp"):
        async with connect(server.ws_url + path) as socket:
            assert "UNAUTHENTICATED" in str(await socket.recv())


def test_quantiles_come_from_buckets() -> None:
    durations = Histogram()
    assert durations.quantile(0.5) == 0.0
    for milliseconds in range(1, 101):
        durations.observe(milliseconds / 1000)
    assert durations.quantile(0.5) == pytest.approx(0.050, rel=0.16)
    assert durations.quantile(0.99) == pytest.approx(0.099, rel=0.16)
    assert durations.number == 100
    durations.observe(1e9)
    assert durations.quantile(1.0) > 1000


@pytest.mark.parametrize("number", [0, 1, 2, 256])
def test_many_durations_at_once_are_counted_as_one_by_one(number: int) -> None:
    chance = Random(number)
    seen = [chance.choice([1e-9, 1e-6, 1e-6 * 1.15, 1e9, 10 ** chance.uniform(-7, 4)]) for _ in range(number)]
    one_by_one, at_once = Histogram(), Histogram()
    for seconds in seen:
        one_by_one.observe(seconds)
    at_once.observe_all(seen)
    assert at_once.counts == one_by_one.counts
    assert at_once.total == pytest.approx(one_by_one.total)


@pytest.mark.parametrize("middleware", [Counting, object(), None], ids=["a class", "no hooks", "nothing"])
def test_what_is_no_middleware_is_refused_when_the_application_is_made(middleware: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no middleware"):
        create_app(Notes, middleware=[middleware])
    create_app(Notes, middleware=[Counting()])
