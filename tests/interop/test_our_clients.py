"""This project's clients against a server of OpenEnv 0.10."""

from __future__ import annotations

from typing import Any

import pytest

from openenv import EnvClient, GenericEnvClient, ToolClient
from openenv.core import CallToolAction, CallToolObservation, GenericAction, ListToolsAction, MCPToolClient
from openenv.core import GenericEnvClient as CoreClient
from openenv.errors import ServerError, SessionLost, ToolFailed
from tests.interop.toys.plain import Heard, Say
from tests.support.processes import Server

pytestmark = pytest.mark.e2e


class Typed(EnvClient[Say, Heard, Any]):
    """A client with types."""

    observation_type = Heard


async def test_native_client(their_server: Server) -> None:
    async with GenericEnvClient(f"{their_server.url}/echo") as client:
        begun = await client.reset(seed=3, episode_id="ep")
        assert begun.observation["metadata"] == {"kw": [], "seed": 3}
        heard = await client.step({"message": "hi"})
        assert (heard.reward, heard.done, heard.observation["echoed"]) == (0.5, False, "hi")
        with pytest.raises(ServerError) as refused:
            await client.step({"message": ""})
        assert refused.value.code == "VALIDATION_ERROR"
        with pytest.raises(ServerError) as raised:
            await client.step({"message": "x", "kind": "boom"})
        assert raised.value.code == "EXECUTION_ERROR"
        assert (await client.state())["episode_id"] == "ep"


def test_blocking_and_typed(their_server: Server) -> None:
    with Typed(f"{their_server.url}/patient") as client:
        assert client.reset(seed=1).observation.echoed == "ready, asynchronously"
        seen = client.step(Say(message="a"))
        assert isinstance(seen.observation, Heard)
        assert seen.observation.n == 1


async def test_a_full_server_and_one_without_a_factory(their_server: Server) -> None:
    base = f"{their_server.url}/couple"
    async with GenericEnvClient(base) as one, GenericEnvClient(base) as two:
        await one.reset()
        await two.reset()
        async with GenericEnvClient(base) as three:
            with pytest.raises(ServerError) as full:
                await three.reset()
            assert full.value.code == "CAPACITY_REACHED"
    async with GenericEnvClient(f"{their_server.url}/broken") as broken:
        with pytest.raises(ServerError) as failed:
            await broken.reset()
        assert failed.value.code == "FACTORY_ERROR"


async def test_native_tool_client(their_server: Server) -> None:
    async with ToolClient(f"{their_server.url}/calculator") as client:
        await client.reset()
        assert [tool.name for tool in await client.list_tools()] == ["add", "keep", "nothing", "several", "fail"]
        assert await client.call_tool("add", a=2, b=3) == 5
        with pytest.raises(ToolFailed, match="tool boom"):
            await client.call_tool("fail")


async def test_core_clients(their_server: Server) -> None:
    async with CoreClient(base_url=f"{their_server.url}/echo") as client:
        await client.reset()
        assert (await client.step(GenericAction(message="hi"))).reward == 0.5
        with pytest.raises(RuntimeError, match=r"^Server error: Invalid message \(code: VALIDATION_ERROR\)"):
            await client.step({"message": ""})
    async with MCPToolClient(base_url=f"{their_server.url}/calculator") as tools:
        await tools.reset()
        assert await tools.call_tool("keep", a=4) == {"total": 4}
        stepped = await tools.step(CallToolAction(tool_name="keep", arguments={"a": 1}))
        assert isinstance(stepped.observation, CallToolObservation)
        listed = await tools.step(ListToolsAction())
        assert len(listed.observation.tools) == 5
        assert (await tools.state()).step_count == 2


async def test_a_closed_socket_is_a_lost_session(their_server: Server) -> None:
    async with GenericEnvClient(f"{their_server.url}/echo", message_timeout_s=20) as client:
        await client.reset()
        assert client._socket is not None
        await client._socket.close(ends_session=True)
        with pytest.raises(SessionLost):
            await client.step({"message": "hi"})
        assert (await client.reset()).observation["echoed"] == "ready"
