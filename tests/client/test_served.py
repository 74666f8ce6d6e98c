"""Every client against our own server, in processes of their own."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from pathlib import Path

import pytest

from openenv import CallToolAction, EnvClient, GenericEnvClient, ListToolsAction, ToolClient
from openenv.client.http import HttpSession
from openenv.errors import ConnectionFailed, InvalidArguments, ServerError, SessionLost, ToolFailed, ToolNotFound
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(module_serve: Servers) -> Server:
    """A desk served by ``openenv serve``."""
    return module_serve("desk:app", cwd=HERE)


def test_a_session_of_steps(desk: Server) -> None:
    put = CallToolAction(tool_name="drawer_put", arguments={"drawer": 1, "name": "pen"})
    with EnvClient(base_url=desk.ws_url) as client:
        assert client.reset(seed=3).metadata == {"seed": 3}
        for count in range(1, 11):
            assert client.step(put).observation["result"] == count
        assert client.state()["step_count"] == 10
        assert len(client.step(ListToolsAction()).observation["tools"]) == 3
        with pytest.raises(ServerError) as caught:
            client.step({"tool_name": 5})
        assert caught.value.code == "VALIDATION_ERROR"
        assert caught.value.errors
        assert client.step(put).observation["result"] == 11


async def test_sessions_are_apart(desk: Server) -> None:
    async def work(name: str) -> list[str]:
        async with ToolClient(desk.url) as client:
            for _ in range(3):
                await client.call_tool("drawer_put", drawer=1, name=name)
            listed: list[str] = await client.call_tool("drawer_list", drawer=1)
            return listed

    assert await asyncio.gather(*map(work, "abcd")) == [[name] * 3 for name in "abcd"]


async def test_tools(desk: Server) -> None:
    async with ToolClient(desk.url, headers={"X-Owner": "ada"}) as client:
        assert [tool.name for tool in await client.list_tools()] == ["drawer_put", "drawer_list", "owner"]
        tool = await client.get_tool("drawer_put")
        assert tool is not None
        assert set(tool.input_schema["properties"]) == {"drawer", "name"}
        assert await client.call_tool("drawer_put", drawer=2, name="pen") == 1
        assert await client.call_tool("owner") == "ada"
        assert (await client.state())["step_count"] == 2
        with pytest.raises(InvalidArguments) as invalid:
            await client.call_tool("drawer_put", drawer=9, name="pen")
        assert invalid.value.field == "drawer"
        assert set(invalid.value.example) == {"drawer", "name"}
        with pytest.raises(ToolNotFound) as unknown:
            await client.call_tool("drawer_pet")
        assert "drawer_put" in (unknown.value.hint or "")
        with pytest.raises(ToolFailed, match="Cats") as refused:
            await client.call_tool("drawer_put", drawer=1, name="cat")
        assert (refused.value.code, refused.value.field, refused.value.hint) == ("NOT_A_THING", "name", "Put in a thing.")
        with pytest.raises(ToolFailed, match="tick") as raised:
            await client.call_tool("drawer_put", drawer=1, name="bomb")
        assert raised.value.code == "EXECUTION_ERROR"


async def test_an_attached_session_outlives_its_sockets(desk: Server) -> None:
    async with await HttpSession.create(desk.url) as session:
        for count in (1, 2):
            async with ToolClient(desk.url, session_id=session.session_id) as client:
                assert await client.call_tool("drawer_put", drawer=1, name="pen") == count
        assert (await session.state())["step_count"] == 2
    with pytest.raises(ServerError) as caught:
        await GenericEnvClient(desk.url, session_id=session.session_id).reset()
    assert caught.value.code == "SESSION_ERROR"


async def test_grading_over_http(desk: Server) -> None:
    expected = {"query": "SELECT count(*) FROM items WHERE name = 'pen'", "expected_value": 1}
    scenario = {
        "id": "put-a-pen",
        "task": "Put a pen into the first drawer.",
        "seed": 5,
        "verifiers": [{"verifier_type": "database_state", "validation_config": expected}],
        "max_steps": 3,
    }
    async with await HttpSession.create(desk.url) as session:
        assert (await session.load_scenario(scenario)).metadata == {"seed": 5}
        assert (await session.verify())["passed"] is False
        async with ToolClient(desk.url, session_id=session.session_id) as agent:
            await agent.call_tool("drawer_put", drawer=1, name="pen")
        verdict = await session.verify({"response": "Done."})
        assert (verdict["passed"], verdict["reward"], verdict["episode"]["seed"]) == (True, 1.0, 5)
        image = await session.database()
        assert hashlib.sha256(image).hexdigest() == verdict["final"]
        assert hashlib.sha256(await session.database("initial")).hexdigest() == verdict["initial"]
        database = sqlite3.connect(":memory:")
        database.deserialize(image)
        assert database.execute("SELECT * FROM items").fetchall() == [(1, "pen")]
        database.close()
        assert await session.sql("SELECT name FROM items") == {"columns": ["name"], "rows": [["pen"]]}
        with pytest.raises(ServerError) as refused:
            await session.sql("DELETE FROM items")
        assert refused.value.code == "QUERY_REFUSED"
        with pytest.raises(ServerError) as wrong:
            await session.database("tomorrow")
        assert (wrong.value.code, wrong.value.field) == ("VALIDATION_ERROR", "at")
        assert (await session.info())["session_id"] == session.session_id


async def test_steps_over_http(desk: Server) -> None:
    async with await HttpSession.create(desk.url) as session:
        await session.reset(seed=1)
        for count in (1, 2):
            result = await session.step(CallToolAction(tool_name="drawer_put", arguments={"drawer": 3, "name": "pen"}))
            assert result.observation["result"] == count
        with pytest.raises(ServerError) as caught:
            await session.step({"tool_name": []})
        assert caught.value.code == "VALIDATION_ERROR"
        assert caught.value.errors


async def test_a_full_server(serve: Servers) -> None:
    server = serve("desk:small_app", cwd=HERE)
    async with GenericEnvClient(server.url) as client:
        await client.reset()
        with pytest.raises(ServerError) as caught:
            await GenericEnvClient(server.url).reset()
        assert caught.value.code == "CAPACITY_REACHED"
        with pytest.raises(ServerError) as refused:
            await HttpSession.create(server.url, capacity_wait_s=0)
        assert refused.value.code == "CAPACITY_REACHED"
        waiting = asyncio.ensure_future(HttpSession.create(server.url))
        await client.state()
    await (await waiting).close()
    for _ in range(5):  # the slot is free as soon as a client is closed
        async with GenericEnvClient(server.url) as client:
            await client.reset()


async def test_a_server_that_is_restarted(serve: Servers) -> None:
    server = serve("desk:app", cwd=HERE)
    client = ToolClient(server.url)
    await client.call_tool("drawer_put", drawer=1, name="pen")
    server.stop()
    for _ in range(2):
        with pytest.raises(SessionLost):
            await client.call_tool("drawer_put", drawer=1, name="pen")
    with pytest.raises(ConnectionFailed):
        await client.reset()
    serve("desk:app", cwd=HERE, port=server.port)
    with pytest.raises(SessionLost):
        await client.call_tool("drawer_list", drawer=1)
    await client.reset()
    assert await client.call_tool("drawer_list", drawer=1) == []
    await client.close()


async def test_a_frame_that_the_server_finds_too_large(desk: Server) -> None:
    client = GenericEnvClient(desk.url)
    await client.reset()
    with pytest.raises(SessionLost):
        await client.step({"tool_name": "x" * 20 * 2**20})
    with pytest.raises(SessionLost):
        await client.state()
    await client.reset()
    await client.close()


async def test_a_server_that_is_killed_in_the_middle(serve: Servers) -> None:
    server = serve("desk:app", cwd=HERE)
    client = GenericEnvClient(server.url)
    await client.reset()
    server.kill()
    with pytest.raises(SessionLost):
        await client.state()
    await client.close()
