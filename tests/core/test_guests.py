"""How the engine runs environments of OpenEnv 0.10: what it promised them, and what it did not do right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.processes import Server, Servers

pytestmark = [pytest.mark.e2e]

Start = Callable[[str], Server]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """What the environments write down."""
    return tmp_path / "notes"


@pytest.fixture
def start(serve: Servers, notes: Path) -> Start:
    """Serves one of tests/core/guests.py with uvicorn."""
    here = Path(__file__).parent
    return lambda name: serve(f"guests:{name}", cwd=here, uvicorn=True, env={"GUEST_NOTES": str(notes)})


def written(notes: Path) -> str:
    return notes.read_text() if notes.exists() else ""


async def until_written(notes: Path, text: str, *, times: int = 1) -> None:
    while written(notes).count(text) < times:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)


async def ask(socket: ClientConnection, kind: str, data: Any = None) -> Any:
    frame = {"type": kind} if data is None else {"type": kind, "data": data}
    await socket.send(json.dumps(frame))
    return json.loads(await socket.recv())["data"]


async def rpc(client: httpx.AsyncClient, method: str, **params: Any) -> Any:
    answer = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    return answer.json()


def http(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20)


def ws(server: Server, query: str = "") -> Any:
    return connect(f"{server.ws_url}/ws{query}", proxy=None)


async def test_the_reaper_never_closes_a_live_owner(start: Start, notes: Path) -> None:
    server = start("short")
    async with ws(server) as owner, http(server) as client:
        await ask(owner, "reset")
        await asyncio.sleep(1.5)
        assert (await ask(owner, "step", {}))["observation"]["text"] == "1"
        refused = await rpc(client, "openenv/session/create")
        assert refused["error"]["message"].startswith("Server at capacity: 1/1")
        assert "closed" not in written(notes)


async def test_the_reaper_ends_a_session_that_nobody_asks_for(start: Start, notes: Path) -> None:
    server = start("short")
    async with http(server) as client:
        made = (await rpc(client, "openenv/session/create"))["result"]["session_id"]
        await until_written(notes, "closed after 0 on 1")
        gone = await rpc(client, "openenv/session/close", session_id=made)
        assert gone["error"]["data"]["code"] == "SESSION_ERROR"
        assert "no request for 0.4 s" in gone["error"]["message"]


async def test_closing_over_http_ends_the_socket(start: Start, notes: Path) -> None:
    server = start("several")
    async with ws(server) as owner, http(server) as client:
        await ask(owner, "reset")
        named = await ask(owner, "mcp", {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"})
        closed = await rpc(client, "openenv/session/close", session_id=named["result"]["session_id"])
        assert closed["result"]["closed"] is True
        with pytest.raises(ConnectionClosed) as ended:
            await owner.recv()
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1000
        assert "closed after 0 on 1" in written(notes)


async def test_sessions_made_over_http_are_closed_at_shutdown(start: Start, notes: Path) -> None:
    server = start("several")
    async with http(server) as client:
        for _ in range(3):
            await rpc(client, "openenv/session/create")
    server.stop()
    assert written(notes).count("closed") == 3


async def test_a_slow_factory_never_blocks_the_loop(start: Start, notes: Path) -> None:
    server = start("slow")
    async with http(server) as client:
        slow = asyncio.create_task(client.post("/reset"))
        await until_written(notes, "being made")
        assert (await client.get("/health")).status_code == 200
        assert not slow.done()
        notes.with_name(f"{notes.name}.go").touch()
        assert (await slow).status_code == 200


@pytest.mark.parametrize("mode", ["simulation", "production"])
async def test_tools_of_a_mode_are_served_in_it(start: Start, mode: str) -> None:
    server = start(mode)
    mine, other = ("rehearse", "live") if mode == "simulation" else ("live", "rehearse")
    async with http(server) as client, ws(server) as socket:
        listed = await rpc(client, "tools/list")
        assert sorted(tool["name"] for tool in listed["result"]["tools"]) == sorted(["always", mine, "who"])
        assert (await rpc(client, "tools/call", name="who"))["result"]["data"] == mode
        assert (await rpc(client, "tools/call", name=other))["error"]["message"] == f"Unknown tool: '{other}'"
        seen = await ask(socket, "step", {"type": "call_tool", "tool_name": mine})
        assert seen["observation"]["result"]["data"] == mine
        assert (await client.get("/state")).status_code == (200 if mode == "simulation" else 404)


async def test_a_step_that_only_the_subclass_has_is_called(start: Start) -> None:
    """0.10 passes by a `step` that overrides `MCPEnvironment`'s unless there is a `step_async` beside it."""
    async with ws(start("simulation")) as socket:
        await ask(socket, "reset")
        await ask(socket, "step", {"type": "call_tool", "tool_name": "always"})
        await ask(socket, "mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "always"}})
        await ask(socket, "step", {"type": "list_tools"})
        assert (await ask(socket, "state"))["step_count"] == 2


async def test_one_thread_for_a_session_from_factory_to_close(start: Start, notes: Path) -> None:
    server = start("several")
    sockets = [await ws(server) for _ in range(4)]
    for socket in sockets:
        await ask(socket, "reset")
    told = await asyncio.gather(*(ask(socket, "step", {"what": "sleep"}) for socket in sockets))
    assert len({one["observation"]["thread"] for one in told}) == 4
    assert [one["metadata"]["threads"] for one in told] == [1] * 4
    for socket in sockets:
        await socket.close()
    await until_written(notes, "closed after 1 on 1", times=4)


async def test_one_thread_for_all_sessions_where_the_class_asks_for_it(start: Start) -> None:
    server = start("alone")
    async with ws(server) as one, ws(server) as two:
        threads = {(await ask(socket, "reset"))["observation"]["thread"] for socket in (one, two)}
        assert len(threads) == 1


async def test_asynchronous_methods_run_on_the_loop_and_the_others_on_a_thread(start: Start, notes: Path) -> None:
    server = start("mixed")
    async with ws(server) as one, ws(server) as two:
        resets = {(await ask(socket, "reset"))["observation"]["thread"] for socket in (one, two)}
        steps = [await ask(socket, "step", {}) for socket in (one, two)]
        assert len(resets) == 2
        assert {step["observation"]["text"] for step in steps} == {"1 on 1"}
        assert len({step["observation"]["thread"] for step in steps} | resets) == 3
    await until_written(notes, "closed after 1 on 1", times=2)


@pytest.mark.parametrize("what", ["stop", "misfit"])
async def test_what_an_environment_raises_is_its_own_fault(start: Start, what: str) -> None:
    async with ws(start("several")) as socket:
        await ask(socket, "reset")
        assert (await ask(socket, "step", {"what": what}))["code"] == "EXECUTION_ERROR"
        assert (await ask(socket, "step", {}))["observation"]["text"] == "2"


async def test_what_is_raised_on_a_guest_s_thread_reaches_the_loop(start: Start, notes: Path) -> None:
    async with ws(start("halfwild")) as socket:
        for _ in range(2):
            assert (await ask(socket, "reset"))["code"] == "EXECUTION_ERROR"
    await until_written(notes, "closed after 0")


async def test_strangers_do_not_see_each_other(start: Start) -> None:
    """Without authentication an id is all that keeps a session its owner's, as in 0.10."""
    server = start("several")
    async with ws(server) as owner, http(server) as client:
        await ask(owner, "reset")
        refused = await client.get("/sessions")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "FORBIDDEN")
        mine = (await client.post("/sessions")).json()["session_id"]
        assert (await client.get(f"/sessions/{mine}")).json()["session_id"] == mine
