"""A real agent's process behind a real server: turns, tools that it reaches over MCP, its death."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from openenv.core.generic_client import GenericEnvClient
from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.core.harness.served:app", cwd=ROOT, uvicorn=True)


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with GenericEnvClient(server.url).sync() as client:
        yield client


def metadata(result: Any) -> Any:
    return result.observation["metadata"]


def test_an_agent_reaches_the_environment_s_tools(client: Any) -> None:
    begun = client.reset(episode_id="e")
    assert metadata(begun) == {"episode_id": "e", "injected_tools": ["add", "read_file"]}
    seen = client.step({"message": "add 2 3"})
    told = metadata(seen)
    assert (told["response"], told["turn_number"], seen.done) == ("5", 1, False)
    assert [one["type"] for one in told["turn_events"]] == ["text_output", "tool_call", "tool_result", "turn_complete"]
    assert client.state()["step_count"] == 1
    assert client.step({"message": "bye"}).done


def test_an_agent_that_dies_is_an_observation_and_a_reset_starts_another(client: Any) -> None:
    client.reset()
    ended = client.step({"message": "die"})
    assert (ended.done, metadata(ended)["error_type"]) == (True, "harness_crashed")
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        client.step({"message": "hi"})
    client.reset()
    assert metadata(client.step({"message": "hi"}))["response"] == "heard hi"


def test_the_tools_are_the_caller_s_too(server: Server) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    answer = httpx.post(f"{server.url}/mcp", json=body, trust_env=False, timeout=20).json()
    assert answer["result"]["data"] == 3


async def test_a_conversation_over_a_real_socket(serve: Servers) -> None:
    server = serve("tests.core.harness.served:production", cwd=ROOT, uvicorn=True)
    async with connect(f"{server.url.replace('http', 'ws')}/harness", proxy=None) as socket:

        async def hear() -> Any:
            return json.loads(await socket.recv())

        started = await hear()
        assert (started["type"], started["data"]["harness"]) == ("session_started", "toy")
        await socket.send("[]")
        assert (await hear())["data"]["code"] == "VALIDATION_ERROR"
        await socket.send(json.dumps({"type": "message", "content": "add 2 3"}))
        told = [await hear() for _ in range(4)]
        assert [one["type"] for one in told] == ["text_output", "tool_call", "tool_result", "turn_complete"]
        assert told[-1]["data"]["response"] == "5"
        await socket.send(json.dumps({"type": "message", "content": "die"}))
        assert [(await hear())["type"] for _ in range(2)] == ["text_output", "error"]
        with pytest.raises(ConnectionClosed) as closed:
            await hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


async def test_there_is_no_conversation_in_simulation(server: Server) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(f"{server.url.replace('http', 'ws')}/harness", proxy=None):
            pass
