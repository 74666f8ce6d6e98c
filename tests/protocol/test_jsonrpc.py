"""OpenEnv's JSON-RPC, answer by answer as OpenEnv 0.10 gives them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openenv.errors import (
    CapacityReached,
    ExecutionFailed,
    FactoryFailed,
    Forbidden,
    InvalidArguments,
    OpenEnvError,
    SessionError,
    ToolFailed,
    ToolNotFound,
    Unauthenticated,
    Unsupported,
    ValidationFailed,
)
from openenv.operation import Result
from openenv.protocol import JsonRpcCodec
from openenv.protocol.jsonrpc import rpc_refusal
from openenv.types import ToolListing

CODEC = JsonRpcCodec()


def request(method: str, number: Any = 1, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def at_once(body: str | bytes) -> dict[str, Any]:
    """The answer to what needs no operation."""
    call = CODEC.decode(body)
    assert call.operation is None
    assert call.answer is not None
    answer: dict[str, Any] = json.loads(call.answer)
    assert list(answer) == ["jsonrpc", "id", "error"]
    assert list(answer["error"]) == ["code", "message", "data"]
    return answer


def answered(result: Result, body: str | None = None) -> dict[str, Any]:
    call = CODEC.decode(body or request("tools/call", name="add", arguments={"a": 1}))
    answer: dict[str, Any] = json.loads(CODEC.encode(call, result))
    return answer


def test_a_tool_call_becomes_an_operation() -> None:
    operation = CODEC.decode(request("tools/call", name="add", arguments={"a": 1}, session_id="s")).operation
    assert operation is not None
    assert (operation.op, operation.payload, operation.session) == ("call_tool", ("add", {"a": 1}), "s")
    bare = CODEC.decode(request("tools/call", name="add", arguments=None)).operation
    assert bare is not None
    assert (bare.payload, bare.session) == (("add", {}), None)


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "5", "null", '"x"', '[{"jsonrpc":"2.0"}]', b"\xff\xfe", "[" * 100_000, '"\\ud800"']
)
def test_what_is_no_object_is_a_parse_error(body: str | bytes) -> None:
    assert at_once(body) == {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error", "data": None}}


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"jsonrpc":"1.0","method":"tools/list","id":1}',
        '{"method":"tools/list","id":1}',
        '{"jsonrpc":"2.0","id":1}',
        '{"jsonrpc":"2.0","method":5,"id":1}',
        '{"jsonrpc":"2.0","method":"tools/list","params":[],"id":1}',
        '{"jsonrpc":"2.0","method":"tools/list","id":1.5}',
        '{"jsonrpc":"2.0","method":"tools/list","id":true}',
        '{"jsonrpc":"2.0","method":"tools/list","id":{}}',
        '{"jsonrpc":"2.0","method":"tools/list","id":1,"extra":1}',
    ],
)
def test_what_is_no_request_is_refused_without_an_id(body: str) -> None:
    answer = at_once(body)
    assert (answer["id"], answer["error"]["code"]) == (None, -32600)
    assert answer["error"]["message"].startswith("Invalid request: ")


@pytest.mark.parametrize(
    ("body", "number", "code", "message"),
    [
        (request("initialize", 7), 7, -32601, "Method not found: initialize"),
        ('{"jsonrpc":"2.0","method":"notifications/initialized"}', None, -32601, "Method not found: notifications/initialized"),
        (request("tools/call", 6), 6, -32602, "Missing 'name' in params"),
        (request("tools/call", "t", name=""), "t", -32602, "Missing 'name' in params"),
        (request("tools/call", 6, name=5), 6, -32602, "Missing 'name' in params"),
        (request("tools/call", 6, name="x", arguments=[]), 6, -32602, "Invalid params - 'arguments' must be an object"),
        (request("tools/list", 6, session_id=5), 6, -32602, "Invalid params - 'session_id' must be a string"),
        (request("openenv/session/close", 9), 9, -32602, "Invalid params - 'session_id' is required"),
    ],
)
def test_refusals_that_need_no_world(body: str, number: Any, code: int, message: str) -> None:
    assert at_once(body) == {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message, "data": None}}


@pytest.mark.parametrize(
    ("value", "content", "structured"),
    [
        (5, [{"type": "text", "text": "5", "annotations": None, "meta": None}], {"result": 5}),
        ('a"b', [{"type": "text", "text": 'a"b', "annotations": None, "meta": None}], {"result": 'a"b'}),
        ({"a": [1]}, [{"type": "text", "text": '{"a":[1]}', "annotations": None, "meta": None}], {"a": [1]}),
        (False, [{"type": "text", "text": "false", "annotations": None, "meta": None}], {"result": False}),
        ([], [{"type": "text", "text": "[]", "annotations": None, "meta": None}], {"result": []}),
        (None, [], None),
    ],
)
def test_what_a_tool_returns(value: Any, content: Any, structured: Any) -> None:
    assert answered(Result(value=value)) == {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"content": content, "structured_content": structured, "meta": None, "data": value, "is_error": False},
    }


@pytest.mark.parametrize("value", [float("nan"), [float("inf")]])
def test_what_is_not_a_number_is_null(value: Any) -> None:
    call = CODEC.decode(request("tools/call", name="add"))
    json.loads(CODEC.encode(call, Result(value=value)), parse_constant=pytest.fail)


def test_a_value_that_json_cannot_say_is_a_failure_of_the_environment() -> None:
    assert answered(Result(value=object()))["error"]["data"]["code"] == "EXECUTION_ERROR"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (InvalidArguments("wrong", field="a", hint="h", example={"a": 1}, errors=[]), -32602),
        (ToolFailed("wrong", code="INVALID_ARGUMENTS"), -32602),
        (SessionError("Unknown session_id: zzz"), -32602),
        (ToolNotFound("Unknown tool: 'x'"), -32603),
        (ToolFailed("no", code="NOT_FOUND", field="id", hint="h"), -32603),
        (ExecutionFailed("Error calling tool 'fail': boom"), -32603),
        (Unauthenticated("who?"), -32603),
        (Forbidden("not you"), -32603),
    ],
)
@pytest.mark.parametrize("of_tool", [True, False])
def test_errors_have_our_body_as_data(error: OpenEnvError, number: int, of_tool: bool) -> None:
    answer = answered(Result(tool_error=error) if of_tool else Result(error=error))["error"]
    assert answer == {"code": number, "message": error.message, "data": error.body()}


def test_capacity_and_factory_are_server_errors_with_their_details() -> None:
    create = request("openenv/session/create", 20)
    full = answered(Result(error=CapacityReached("full", details={"active_sessions": 3, "max_sessions": 3})), create)
    assert full["error"]["code"] == -32000
    assert full["error"]["data"] == {"active_sessions": 3, "max_sessions": 3, "code": "CAPACITY_REACHED"}
    broken = answered(Result(error=FactoryFailed("no", details={"factory_name": "E"})), create)
    assert (broken["error"]["code"], broken["error"]["data"]["factory_name"]) == (-32000, "E")


def test_an_environment_without_tools_says_so_as_0_10_does() -> None:
    answer = answered(Result(error=Unsupported("Environment does not support MCP")), request("tools/list"))
    assert answer["error"] == {"code": -32603, "message": "Environment does not support MCP", "data": None}


def test_sessions() -> None:
    assert answered(Result(session="abc"), request("openenv/session/create"))["result"] == {"session_id": "abc"}
    closed = {"session_id": "abc", "closed": True}
    assert answered(Result(value=closed), request("openenv/session/close", session_id="abc"))["result"] == closed


def test_listings_have_every_key_that_clients_of_0_10_read() -> None:
    looks = ToolListing("look", "Look.", {"type": "object", "properties": {}}, read_only=True)
    breaks = ToolListing("smash", "Smash.", {"type": "object", "properties": {}}, destructive=True)
    tools = answered(Result(value=[looks, breaks]), request("tools/list"))["result"]["tools"]
    assert tools[0] == {
        "name": "look",
        "title": None,
        "description": "Look.",
        "inputSchema": {"type": "object", "properties": {}},
        "outputSchema": None,
        "icons": None,
        "annotations": {"readOnlyHint": True},
        "meta": None,
        "execution": None,
    }
    assert tools[1]["annotations"] == {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False}


def test_an_error_about_something_deep_has_its_code_all_the_same() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    refused = ValidationFailed("no such argument", errors=[{"type": "extra", "loc": ["x"], "msg": "no", "input": deep}])
    answer = json.loads(rpc_refusal(7, refused))
    assert answer["error"] == {
        "code": -32602,
        "message": "no such argument",
        "data": {"message": "no such argument", "code": "VALIDATION_ERROR"},
    }
