from __future__ import annotations

from typing import Any

import pytest

from openenv.client import ToolClient
from openenv.client.tools import rpc_error
from openenv.errors import InvalidArguments, OpenEnvError, ServerError, ToolFailed, ToolNotFound
from openenv.types import Tool
from tests.client.faulty import FaultyServer, Scripted


def answers(*results: dict[str, Any]) -> Any:
    """A script that answers each JSON-RPC request with the next result or error."""

    def script(connection: Scripted) -> None:
        for result in results:
            request = connection.read()
            connection.say({"type": "mcp", "data": {"jsonrpc": "2.0", "id": request["data"]["id"], **result}})
        connection.serve()

    return script


ADD = {"type": "object", "properties": {"a": {"type": "integer"}}}
LISTED = {
    "result": {
        "tools": [
            {"name": "add", "title": None, "description": "Add", "inputSchema": ADD, "meta": {}},
            {"name": "bare", "description": None, "input_schema": {}},
        ]
    }
}
TOOLS = [Tool(name="add", description="Add", input_schema=ADD), Tool(name="bare", description="", input_schema={})]


async def test_tools_are_listed_once(faulty: FaultyServer) -> None:
    faulty.play(answers(LISTED, {"result": {"tools": []}}))
    async with ToolClient(faulty.url) as client:
        assert await client.list_tools() == TOOLS
        (await client.list_tools()).clear()
        assert await client.has_tool("bare")
        assert not await client.has_tool("nosuch")
        assert await client.get_tool("add") == TOOLS[0]
        assert await client.get_tool("nosuch") is None
        assert len(faulty.received[0]) == 1
        assert await client.list_tools(use_cache=False) == []
    assert faulty.received[0][0] == {
        "type": "mcp",
        "data": {"jsonrpc": "2.0", "method": "tools/list", "params": {}, "id": faulty.received[0][0]["data"]["id"]},
    }


async def test_a_call_gives_the_tools_value(faulty: FaultyServer) -> None:
    content = [{"type": "text", "text": "5", "annotations": None, "meta": None}]
    whole = {"content": content, "structured_content": {"result": 5}, "meta": None, "data": 5, "is_error": False}
    faulty.play(answers({"result": whole}, {"result": {**whole, "data": None}}, {"result": "bare"}, {"result": None}))
    async with ToolClient(faulty.url) as client:
        assert [await client.call_tool("add", a=2, name="an argument") for _ in range(4)] == [5, None, "bare", None]
    assert faulty.received[0][0]["data"]["params"] == {"name": "add", "arguments": {"a": 2, "name": "an argument"}}


def test_the_blocking_tool_client(faulty: FaultyServer) -> None:
    faulty.play(answers(LISTED, {"result": {"data": 5}}))
    with ToolClient(faulty.url) as client:
        assert client.list_tools() == TOOLS
        assert client.get_tool("add") == TOOLS[0]
        assert client.has_tool("add")
        assert client.call_tool("add", a=2) == 5
        assert client.reset().reward == 0.5


def error_of(code: str, number: int = -32603, **more: Any) -> dict[str, Any]:
    return {"code": number, "message": "outer", "data": {"code": code, "message": "inner", **more}}


def without_code(number: int, message: str, data: Any = None) -> dict[str, Any]:
    return {"code": number, "message": message, "data": data}


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (error_of("TOOL_NOT_FOUND"), ToolNotFound, "TOOL_NOT_FOUND"),
        (error_of("INVALID_ARGUMENTS", -32602), InvalidArguments, "INVALID_ARGUMENTS"),
        (error_of("NOT_FOUND"), ToolFailed, "NOT_FOUND"),
        (error_of("FORBIDDEN"), ToolFailed, "FORBIDDEN"),
        (error_of("EXECUTION_ERROR"), ToolFailed, "EXECUTION_ERROR"),
        (error_of("EPISODE_OVER"), ServerError, "EPISODE_OVER"),
        (error_of("LANE_LOST"), ServerError, "LANE_LOST"),
        (error_of("SESSION_ERROR", -32602), ServerError, "SESSION_ERROR"),
        (without_code(-32603, "Unknown tool: 'x'"), ToolNotFound, "TOOL_NOT_FOUND"),
        (without_code(-32603, "Error calling tool 'x': boom"), ToolFailed, "EXECUTION_ERROR"),
        (without_code(-32603, "1 validation error for call[add]"), InvalidArguments, "INVALID_ARGUMENTS"),
        (without_code(-32602, "Missing 'name' in params"), InvalidArguments, "INVALID_ARGUMENTS"),
        (without_code(-32603, "Environment does not support MCP"), ServerError, "UNSUPPORTED"),
        (without_code(-32601, "Method not found: x", {"a": 1}), ServerError, "INTERNAL_ERROR"),
        ({}, ServerError, "INTERNAL_ERROR"),
        ({"code": "x", "message": 5, "data": [1]}, ServerError, "INTERNAL_ERROR"),
    ],
)
def test_errors_are_of_the_kind_that_their_code_says(error: dict[str, Any], kind: type[OpenEnvError], code: str) -> None:
    made = rpc_error(error)
    assert (type(made), made.code) == (kind, code)


async def test_what_an_error_knows_arrives(faulty: FaultyServer) -> None:
    known = {"field": "a", "hint": "An integer.", "example": {"a": 1}, "errors": [{"loc": ["a"]}], "tool": "add"}
    faulty.play(answers({"error": error_of("INVALID_ARGUMENTS", -32602, **known)}, {"result": {"data": 1}}))
    async with ToolClient(faulty.url) as client:
        with pytest.raises(InvalidArguments, match="inner") as caught:
            await client.call_tool("add", a="x")
        assert await client.call_tool("add", a=1) == 1
    failure = caught.value
    assert (failure.field, failure.hint, failure.example) == ("a", "An integer.", {"a": 1})
    assert (failure.errors, failure.details) == ([{"loc": ["a"]}], {"tool": "add"})


@pytest.mark.parametrize("result", [None, [], {"tools": None}, {"tools": "abc"}, {"tools": [5, {"name": 5}]}])
async def test_a_hostile_list_of_tools_is_no_crash(faulty: FaultyServer, result: Any) -> None:
    faulty.play(answers({"result": result}))
    async with ToolClient(faulty.url) as client:
        with pytest.raises(ServerError, match="tools/list"):
            await client.list_tools()
