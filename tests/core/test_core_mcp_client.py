"""OpenEnv 0.10's tool client: its session is made over HTTP, and what it calls is a step."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openenv import errors
from openenv.client.http import HttpSession
from openenv.core.client_errors import ToolCallError
from openenv.core.env_server.mcp_types import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Tool,
)
from openenv.core.env_server.types import State
from openenv.core.mcp_client import GenericMCPObservation, MCPClientBase, MCPToolClient
from tests.core.clients import Runner
from tests.support.processes import Server, Servers

DESK = Path(__file__).parent.parent / "client"


@pytest.fixture(scope="module")
def desk(module_serve: Servers) -> Server:
    """A desk with tools, served by ``openenv serve``."""
    return module_serve("desk:app", cwd=DESK)


def sessions(server: Server) -> list[dict[str, Any]]:
    """The sessions that the server has."""
    with urllib.request.urlopen(f"{server.url}/sessions", timeout=5) as response:
        listed: Any = json.load(response)
    found: list[dict[str, Any]] = listed["sessions"]
    return found


class OldServer(BaseHTTPRequestHandler):
    """Answers JSON-RPC as servers of OpenEnv 0.10 do: errors without a code in their ``data``."""

    answers: dict[str, Any] = {
        "openenv/session/create": {"result": {"session_id": "s-1"}},
        "openenv/session/close": {"result": {"session_id": "s-1", "closed": True}},
        "tools/list": {
            "result": {"tools": [{"name": "add", "description": None, "inputSchema": {"type": "object"}, "icons": None}]}
        },
    }
    seen: list[dict[str, Any]] = []

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(request)
        answer = self.answers.get(request["method"])
        if answer is None:
            answer = self.answers[request["params"]["name"]]
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def old() -> Iterator[tuple[str, type[OldServer]]]:
    """The URL of a server of 0.10's JSON-RPC, and its handler."""
    handler = type("Handler", (OldServer,), {"answers": dict(OldServer.answers), "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()


def put(drawer: int, name: str) -> CallToolAction:
    return CallToolAction(tool_name="drawer_put", arguments={"drawer": drawer, "name": name})


async def test_tools_and_steps_are_of_one_session(desk: Server) -> None:
    async with MCPToolClient(base_url=desk.url) as client:
        begun = await client.reset(seed=5)
        assert isinstance(begun.observation, GenericMCPObservation)
        assert begun.observation.metadata == {"seed": 5}
        assert await client.call_tool("drawer_put", drawer=2, name="pen") == 1
        result = await client.step(put(2, "ink"))
        assert isinstance(result.observation, CallToolObservation)
        assert result.observation.result["data"] == 2 if isinstance(result.observation.result, dict) else True
        assert await client.call_tool("drawer_list", drawer=2) == ["pen", "ink"]
        state = await client.state()
        assert isinstance(state, State)
        assert state.step_count == 3, "a call is a step, whichever way it takes"
    assert sessions(desk) == []


async def test_tools_are_listed(desk: Server) -> None:
    async with MCPToolClient(base_url=desk.url) as client:
        tools = await client.list_tools()
        assert [tool.name for tool in tools] == ["drawer_put", "drawer_list", "owner"]
        assert all(isinstance(tool, Tool) for tool in tools)
        assert tools[0].input_schema["required"] == ["drawer", "name"]
        assert (await client.get_tool("owner")) == tools[2]
        assert await client.get_tool("nosuch") is None
        assert await client.has_tool("drawer_put")
        assert not await client.has_tool("nosuch")
        tools.clear()
        assert len(await client.list_tools()) == 3
        result = await client.step(ListToolsAction())
        assert isinstance(result.observation, ListToolsObservation)
        assert [tool.name for tool in result.observation.tools] == ["drawer_put", "drawer_list", "owner"]


def test_tools_without_a_loop(desk: Server) -> None:
    with MCPToolClient(base_url=desk.url) as client:
        assert client.call_tool("drawer_put", drawer=1, name="pen") == 1
        assert len(client.list_tools()) == 3
    with MCPToolClient(base_url=desk.url).sync() as env:
        assert env.call_tool("drawer_put", drawer=1, name="pen") == 1
        assert env.has_tool("owner")
        assert env.reset().done is False
    assert sessions(desk) == []


async def test_what_a_tool_says_no_to_is_a_runtime_error(desk: Server) -> None:
    async with MCPToolClient(base_url=desk.url) as client:
        with pytest.raises(RuntimeError, match=r"^Tool 'drawer_put' failed: Cats do not stay in drawers$") as caught:
            await client.call_tool("drawer_put", drawer=1, name="cat")
        assert isinstance(caught.value, ToolCallError)
        assert (caught.value.code, caught.value.field, caught.value.tool_name) == ("NOT_A_THING", "name", "drawer_put")
        assert caught.value.hint == "Put in a thing."
        for name, arguments, code in [
            ("nosuch", {}, "TOOL_NOT_FOUND"),
            ("drawer_put", {"drawer": 9, "name": "pen"}, "INVALID_ARGUMENTS"),
            ("drawer_put", {"drawer": 1, "name": "bomb"}, "EXECUTION_ERROR"),
        ]:
            with pytest.raises(ToolCallError) as caught:
                await client.call_tool(name, **arguments)
            assert caught.value.code == code
        refused = await client.step(put(1, "cat"))
        assert isinstance(refused.observation, CallToolObservation)
        assert refused.observation.error is not None
        assert await client.call_tool("drawer_put", drawer=1, name="pen") == 1


async def test_headers_go_with_every_request(desk: Server) -> None:
    async with MCPToolClient(base_url=desk.url, headers={"x-owner": "anna"}) as client:
        assert await client.call_tool("owner") == "anna"
        owner = await client.step(CallToolAction(tool_name="owner"))
        assert "anna" in json.dumps(owner.observation.model_dump())


async def test_calls_that_come_together_make_one_session(desk: Server) -> None:
    client = MCPToolClient(base_url=desk.url)
    counts = await asyncio.gather(*(client.call_tool("drawer_put", drawer=1, name=str(count)) for count in range(5)))
    assert sorted(counts) == [1, 2, 3, 4, 5]
    assert len(sessions(desk)) == 1
    await client.close()
    assert sessions(desk) == []


async def test_the_session_outlives_its_socket(desk: Server) -> None:
    client = MCPToolClient(base_url=desk.url)
    await client.reset()
    await client.step(put(1, "pen"))
    await client.disconnect()
    assert await client.call_tool("drawer_list", drawer=1) == ["pen"], "tools are called over HTTP"
    with pytest.raises(errors.SessionLost):
        await client.state()
    await client.connect()
    assert (await client.state()).step_count == 2
    await client.close()
    assert sessions(desk) == []


async def test_reset_opens_a_new_session_where_the_old_one_is_gone(desk: Server) -> None:
    client = MCPToolClient(base_url=desk.url)
    await client.reset()
    (session,) = sessions(desk)
    await client.disconnect()
    await HttpSession(desk.url, session["session_id"]).close()
    with pytest.raises(RuntimeError, match="failed"):
        await client.call_tool("owner")
    await client.reset()
    assert [other["session_id"] != session["session_id"] for other in sessions(desk)] == [True]
    assert await client.call_tool("drawer_put", drawer=1, name="pen") == 1
    await client.close()
    assert sessions(desk) == []


async def test_after_close_a_call_opens_no_session(desk: Server) -> None:
    client = MCPToolClient(base_url=desk.url)
    await client.reset()
    await client.close()
    with pytest.raises(errors.SessionLost):
        await client.call_tool("owner")
    await client.connect()
    assert await client.call_tool("owner") is None
    await client.close()


async def test_another_session_of_the_same_kind(desk: Server) -> None:
    async with MCPToolClient(base_url=desk.url) as first:
        await first.call_tool("drawer_put", drawer=1, name="pen")
        second = await first.new_session()
        assert await second.call_tool("drawer_put", drawer=1, name="ink") == 1
        assert len(sessions(desk)) == 2
    assert sessions(desk) == []


async def test_a_full_server_says_so_when_the_session_is_made(module_serve: Servers) -> None:
    small = module_serve("desk:small_app", cwd=DESK)
    async with MCPToolClient(base_url=small.url):
        with pytest.raises(RuntimeError, match=r"^Server error: .+ \(code: CAPACITY_REACHED\)$") as caught:
            await MCPToolClient(base_url=small.url).connect()
        assert isinstance(caught.value, errors.ServerError)
        assert caught.value.details["max_sessions"] == 1


async def test_tools_that_cannot_be_had_are_an_empty_list_and_a_line_in_the_log(
    module_serve: Servers, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    echo = module_serve("echo")
    with caplog.at_level(logging.WARNING, "openenv.client"):
        async with MCPToolClient(base_url=echo.url) as client:
            assert await client.list_tools() == []
            assert not await client.has_tool("add")
        assert "UNSUPPORTED" in caplog.text
        caplog.clear()
        assert await MCPToolClient(base_url=f"http://127.0.0.1:{free_port}").list_tools() == []
        assert "no answer" in caplog.text
    with pytest.raises(ConnectionError):
        await MCPToolClient(base_url=f"http://127.0.0.1:{free_port}").call_tool("add")


async def test_requests_are_those_of_0_10(old: tuple[str, type[OldServer]]) -> None:
    url, server = old
    server.answers |= {
        "add": {"result": {"content": [], "structured_content": None, "meta": None, "data": 3, "is_error": False}},
        "none": {"result": {"content": [], "data": None}},
        "bare": {"result": ["x"]},
    }
    client = MCPToolClient(base_url=url)
    assert await client.list_tools() == [Tool(name="add", description="", input_schema={"type": "object"})]
    assert [await client.call_tool(name) for name in ("none", "bare")] == [None, ["x"]]
    assert await client.call_tool("add", a=1, b=2) == 3
    await client.close()
    assert [(request["method"], request["params"]) for request in server.seen] == [
        ("openenv/session/create", {}),
        ("tools/list", {"session_id": "s-1"}),
        ("tools/call", {"name": "none", "arguments": {}, "session_id": "s-1"}),
        ("tools/call", {"name": "bare", "arguments": {}, "session_id": "s-1"}),
        ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}, "session_id": "s-1"}),
        ("openenv/session/close", {"session_id": "s-1"}),
    ]
    assert len({request["id"] for request in server.seen}) == 6


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"code": -32603, "message": "Unknown tool: 'add'", "data": None}, "TOOL_NOT_FOUND"),
        ({"code": -32603, "message": "Error calling tool 'add': boom", "data": None}, "EXECUTION_ERROR"),
        ({"code": -32602, "message": "Unknown session_id: s-1", "data": None}, "INVALID_ARGUMENTS"),
    ],
)
async def test_failures_of_0_10s_servers(old: tuple[str, type[OldServer]], answer: dict[str, Any], code: str) -> None:
    url, server = old
    server.answers["add"] = {"error": answer}
    client = MCPToolClient(base_url=url)
    with pytest.raises(RuntimeError) as caught:
        await client.call_tool("add")
    assert str(caught.value) == f"Tool 'add' failed: {answer['message']}"
    assert caught.value.code == code  # type: ignore[attr-defined]
    await client.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            {"error": {"code": -32000, "message": "full", "data": {"active_sessions": 1, "max_sessions": 1}}},
            "CAPACITY_REACHED",
        ),
        ({"error": {"code": -32000, "message": "broken", "data": {"factory_name": "E"}}}, "FACTORY_ERROR"),
        ({"result": {}}, "INTERNAL_ERROR"),
    ],
)
async def test_sessions_that_0_10s_servers_do_not_make(
    old: tuple[str, type[OldServer]], answer: dict[str, Any], code: str
) -> None:
    url, server = old
    server.answers["openenv/session/create"] = answer
    with pytest.raises(RuntimeError, match=rf"\(code: {code}\)$"):
        await MCPToolClient(base_url=url).connect()


async def test_tools_without_names_are_no_tools(old: tuple[str, type[OldServer]], caplog: pytest.LogCaptureFixture) -> None:
    url, server = old
    server.answers["tools/list"] = {"result": {"tools": [{"description": "?"}]}}
    async_client = MCPToolClient(base_url=url)
    assert await async_client.list_tools() == []
    assert "without a name" in caplog.text
    server.answers["tools/list"] = {"result": {}}
    assert await async_client.list_tools() == []
    await async_client.close()


def test_the_mode_is_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_CLIENT_MODE", "simulation")
    MCPToolClient(base_url="http://test")
    MCPClientBase(base_url="http://test", mode="Production")
    with pytest.raises(ValueError, match="production"):
        MCPToolClient(base_url="http://test", mode="simulation")
    with pytest.raises(TypeError, match="base_url"):
        MCPToolClient()  # type: ignore[call-arg]


async def test_a_server_of_its_own(desk: Server) -> None:
    runner = Runner(desk.url)
    client = await MCPToolClient.from_env("me/desk", use_docker=False, provider=runner)
    assert await client.call_tool("owner") is None
    await client.close()
    assert runner.log == [("start", None, None, {}), "wait", "stop"]
    assert sessions(desk) == []


def test_observations_of_any_kind() -> None:
    parse = MCPToolClient(base_url="http://test")._parse_result
    seen = parse({"observation": {"board": [1]}, "reward": True, "done": True, "metadata": {"a": 1}})
    assert isinstance(seen.observation, GenericMCPObservation)
    assert seen.observation.board == [1]  # type: ignore[attr-defined]
    assert (seen.reward, seen.done, seen.observation.reward, seen.observation.done) == (True, True, True, True)
    assert seen.metadata == {"a": 1}
    named = parse({"observation": {"tool_name": "t", "error": {"error_type": "timeout", "message": "late"}}})
    assert isinstance(named.observation, CallToolObservation)
    assert named.observation.error is not None
    listed = parse({"observation": {"tools": [{"name": "a", "description": "b", "inputSchema": {"x": 1}}]}})
    assert isinstance(listed.observation, ListToolsObservation)
    assert listed.observation.tools == [Tool(name="a", description="b", input_schema={"x": 1})]
