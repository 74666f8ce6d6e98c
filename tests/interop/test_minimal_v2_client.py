"""That docs/protocol.md is enough to write a client of protocol v2: one that was written from it, against real servers."""

from __future__ import annotations

import ast
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from openenv.evaluation.suite import load_suite
from snake_env import scenarios
from tests.interop import minimal_v2_client
from tests.interop.minimal_v2_client import JSON, MSGPACK, Client, V2Error
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import ADD, EVENTS, step

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def started(module_serve: Servers) -> Callable[..., str]:
    """The socket's address of a server that the tests of this module share."""
    known: dict[tuple[str, str], Server] = {}

    def start(target: str, under: str = "openenv") -> str:
        if (target, under) not in known:
            options = ["--workers", "2"] if under == "workers" else []
            known[target, under] = module_serve(target, *options, cwd=ROOT, uvicorn=under == "uvicorn")
        return f"{known[target, under].ws_url}/ws"

    return start


@pytest.fixture(params=["openenv-json", "openenv-msgpack", "workers-json", "uvicorn-msgpack"])
def workshop(request: pytest.FixtureRequest, started: Callable[..., str]) -> Callable[[], Client]:
    """Makes clients of the workshop, under each server and in both encodings."""
    server, encoding = request.param.split("-")
    url = started("tests.support.v2_toys:workshop_app", server)
    return lambda: Client(url, [MSGPACK if encoding == "msgpack" else JSON])


@asynccontextmanager
async def opened(client: Client, count: int = 1) -> AsyncIterator[list[str]]:
    """A connected client's new sessions, reset; closed at the end."""
    async with client:
        sessions = await client.open(count)
        for session in sessions:
            await client.reset(session, seed=7)
        yield sessions
        for session in client.sessions.copy():
            await client.close(session)


async def count_of(client: Client, session: str) -> int:
    """How much was added in a workshop."""
    state = (await client.ask("state", session))["state"]
    assert isinstance(state["count"], int)
    return state["count"]


async def until(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Look again and again until it is so."""
    async with asyncio.timeout(15):
        while await look() != wanted:  # noqa: ASYNC110 (what is looked at is in another process)
            await asyncio.sleep(0.01)


def test_the_client_is_small_and_has_nothing_of_ours() -> None:
    source = Path(minimal_v2_client.__file__).read_text()
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"websockets", "msgpack"}
    assert len(source.splitlines()) <= 300


@pytest.mark.parametrize("offers", [[JSON], [MSGPACK], [JSON, MSGPACK], [MSGPACK, JSON]])
async def test_a_game_of_snake(started: Callable[..., str], offers: list[str]) -> None:
    client = Client(started("snake"), offers)
    async with opened(client, 2) as (left, right):
        assert client.socket.subprotocol == offers[0]
        assert client.hello["environment"] == "snake"
        assert client.hello["capabilities"] == ["snapshots", "tools"]
        assert await client.ask("ping") == {}
        first = await client.reset(left, seed=7, width=6, height=6)
        assert first["observation"]["head"] == [3, 3]
        assert first["reward"] is None
        assert not first["done"]
        moved = await client.step(left, {"direction": "up"})
        assert (moved["observation"]["head"], moved["reward"], moved["done"]) == ([2, 3], 0.0, False)
        results = await client.batch({right: {"direction": "up"}, left: {"direction": "up"}})
        assert [one["ok"]["observation"]["head"] for one in results] == [[4, 5], [1, 3]]
        actions = {left: {"direction": "up"}, right: {"wrong": 1}}
        finished = {one["session"]: one async for one in client.batch_as_finished(actions)}
        assert finished[left]["ok"]["observation"]["head"] == [0, 3]
        assert finished[right]["error"]["code"] == "VALIDATION_ERROR"
        end = await client.step(left, {"direction": "up"})
        assert (end["done"], end["reward"]) == (True, -1.0)
        assert (end["terminated"], end["truncated"], end["stop_reason"]) == (True, False, "wall")
        with pytest.raises(V2Error, match="EPISODE_OVER"):
            await client.step(left, {"direction": "up"})


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
async def test_worlds_are_copied(started: Callable[..., str], encoding: str) -> None:
    client = Client(started("snake"), [encoding])
    async with opened(client, 2) as (world, other):
        kept, exported = await client.snapshot(world), await client.export(world)
        episode = (await client.ask("attach", world))["episode_id"]
        ahead = await client.step(world, {"direction": "up"})
        assert await client.restore(world, kept) == {"episode_id": episode, "step_count": 0}
        assert await client.restore(other, exported) == {"episode_id": episode, "step_count": 0}
        same, else_one, else_two = [*await client.fork(world), *await client.fork(world, 2, [8, 9])]
        for session in (world, other, same, else_one, else_two):
            assert await client.step(session, {"direction": "up"}) == ahead
        with pytest.raises(V2Error, match="SNAPSHOT_REFUSED"):
            await client.restore(world, exported[:-1] + bytes([exported[-1] ^ 1]))


async def test_a_scenario_takes_its_own_snapshots_only(started: Callable[..., str]) -> None:
    url = started("snake")
    scenario = load_suite(scenarios.__path__[0]).scenarios[0].model_dump(mode="json")
    client = Client(url)
    address = url.replace("ws://", "http://").removesuffix("/ws")
    async with httpx.AsyncClient(base_url=address) as http, opened(client) as (session,):
        before = await client.export(session)
        assert (await http.post(f"/sessions/{session}/scenario", json=scenario)).status_code == 200
        with pytest.raises(V2Error, match="SNAPSHOT_REFUSED"):
            await client.restore(session, before)
        kept = await client.snapshot(session)
        await client.step(session, {"direction": "up"})
        assert (await client.restore(session, kept))["step_count"] == 0


async def test_an_echo(started: Callable[..., str]) -> None:
    client = Client(started("echo"))
    async with opened(client) as (session,):
        assert client.hello["capabilities"] == []
        heard = await client.step(session, {"message": "hello"})
        assert (heard["observation"]["echoed"], heard["reward"]) == ("hello", 0.5)
        assert (await client.ask("state", session))["state"]["step_count"] == 1
        for op in ("snapshot", "fork", "list_tools"):
            with pytest.raises(V2Error, match="UNSUPPORTED"):
                await client.ask(op, session)


async def test_tools_of_the_calendar(started: Callable[..., str]) -> None:
    client = Client(started("calendar"), headers={"x-access-token": "token-alice-7b1f4c29e05d48a6"})
    async with opened(client) as (session,):
        assert set(client.hello["capabilities"]) == {"tools", "snapshots"}
        tools = (await client.ask("list_tools", session))["tools"]
        insert = next(one for one in tools if one["name"] == "calendars_insert")
        assert insert["description"]
        assert "summary" in insert["input_schema"]["properties"]
        assert len((await client.call_tool(session, "calendars_list"))["items"]) > 3
        with pytest.raises(V2Error) as refused:
            await client.call_tool(session, "events_get", calendarId="primary", eventId="none")
        assert refused.value.code == "NOT_FOUND"
        (fork,) = await client.fork(session)
        made = [await client.call_tool(one, "calendars_insert", summary="Ours") for one in (session, fork)]
        assert made[0] == made[1]


async def test_nothing_happens_twice_however_often_the_connection_is_lost(workshop: Callable[[], Client]) -> None:
    client = workshop()
    async with opened(client, 4) as sessions:

        async def play(session: str) -> list[int]:
            return [(await client.step(session, ADD))["observation"]["result"] for _ in range(20)]

        async def tear() -> None:
            for _ in range(8):
                await asyncio.sleep(0.02)
                client.socket.transport.abort()

        *played, _ = await asyncio.gather(*map(play, sessions), tear())
        assert played == [[*range(1, 21)]] * 4
        assert [await count_of(client, session) for session in sessions] == [20] * 4


async def test_what_is_under_way_survives_its_connection(workshop: Callable[[], Client], tmp_path: Path) -> None:
    client, gate = workshop(), tmp_path / "gate"
    async with opened(client, 2) as (busy, free):
        await client.subscribe("progress", session=busy)
        slow = await client.send("call_tool", busy, {"name": "wait", "arguments": {"gate": str(gate)}})
        assert (await client.events.get())["data"]["id"] == slow.id
        lost = client.socket
        both = await client.send("batch", None, {"entries": [{"session": one, "action": ADD} for one in (busy, free)]})
        data = {"entries": [{"session": one, "action": ADD} for one in (busy, free)], "as_finished": True}
        each = await client.send("batch", None, data)
        copy = asyncio.create_task(client.fork(busy, 2))
        await until(lambda: count_of(client, free), 2)
        client.socket.transport.abort()
        assert (await client.ask("state", busy))["busy"]
        assert client.socket is not lost
        gate.touch()
        assert (await slow.ok())["tool"] == {"name": "wait", "result": 1}
        assert [one["ok"]["observation"]["result"] for one in (await both.ok())["results"]] == [2, 1]
        assert sorted([one["ok"]["observation"]["result"] async for one in each.each()]) == [2, 3]
        assert [await count_of(client, fork) for fork in await copy] == [3, 3]
        assert [await count_of(client, session) for session in (busy, free)] == [3, 2]


async def test_what_was_sent_and_never_answered_is_found_again(workshop: Callable[[], Client]) -> None:
    async with workshop() as client:
        opening = asyncio.create_task(client.open(3))
        await asyncio.sleep(0)  # it is sent, and its answer has not come
        client.socket.transport.abort()
        sessions = await opening
        assert client.sessions == {*sessions}
        await client.reset(sessions[0])
        closing = [asyncio.create_task(client.close(session)) for session in sessions]
        await asyncio.sleep(0)
        client.socket.transport.abort()
        await asyncio.gather(*closing)
        with pytest.raises(V2Error, match="SESSION_ERROR"):
            await client.step(sessions[0], ADD)


async def test_deadlines_and_cancelling(workshop: Callable[[], Client], tmp_path: Path) -> None:
    client, gate = workshop(), tmp_path / "gate"
    async with opened(client) as (session,):
        for number in range(10):  # until one has begun before its time was over
            with pytest.raises(V2Error, match="DEADLINE_EXCEEDED"):
                await client.step(session, step("wait", {"gate": str(gate)}), deadline_ms=20 * 2**number)
            if (await client.ask("state", session))["busy"]:
                break
        with pytest.raises(V2Error, match="DEADLINE_EXCEEDED"):
            await client.step(session, ADD, deadline_ms=20)
        waiting = await client.send("step", session, ADD)
        assert await client.cancel(waiting)
        with pytest.raises(V2Error, match="CANCELLED"):
            await waiting.ok()
        gate.touch()
        assert (await client.step(session, ADD))["observation"]["result"] == 2
        assert not await client.cancel(waiting)
        await client.subscribe("progress")
        heeding = await client.send("step", session, step("wait", {"gate": "/nowhere", "heed": True}))
        assert (await client.events.get())["data"]["id"] == heeding.id
        assert await client.cancel(heeding)
        assert (await heeding.ok())["observation"]["result"] == -1


async def test_events_come_on_the_next_connection_too(workshop: Callable[[], Client]) -> None:
    client = workshop()
    async with opened(client) as (session,):
        await client.subscribe(*EVENTS)
        for _ in range(2):
            await client.call_tool(session, "speak", text="hello")
            told: list[dict[str, Any]] = [await client.events.get() for _ in range(3)]
            assert {(one["event"], one["session"]) for one in told} == {("environment", session), ("log", session)}
            client.socket.transport.abort()


async def test_a_session_that_is_gone_is_told(started: Callable[..., str]) -> None:
    client = Client(started("tests.support.v2_toys:brief_app"))
    async with client:
        (session,) = await client.open()
        lease = await client.ask("detach", session)
        assert lease == {"lease_s": client.hello["limits"]["lease_s"]} == {"lease_s": 0.3}
        async with httpx.AsyncClient() as http:  # asking about it there does not begin its lease anew
            address = started("tests.support.v2_toys:brief_app").replace("ws://", "http://").removesuffix("/ws")

            async def listed() -> bool:
                return session in [one["session_id"] for one in (await http.get(f"{address}/sessions")).json()["sessions"]]

            await until(listed, False)
        with pytest.raises(V2Error, match="SESSION_ERROR") as gone:
            await client.ask("attach", session)
        assert "no request for 0.3 s" in str(gone.value)


async def test_a_server_that_goes_down_is_told(serve: Servers) -> None:
    server = serve("echo")
    async with Client(f"{server.ws_url}/ws", patience_s=0.2) as client:
        await client.subscribe("draining")
        server.stop()
        assert (await client.events.get())["event"] == "draining"
        with pytest.raises(V2Error, match="CONNECTION_FAILED"):
            await client.ask("ping")
        assert client.socket.close_code == 1012
