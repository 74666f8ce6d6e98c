"""OpenEnv's JSON-RPC: ``tools/list``, ``tools/call`` and the session methods.

It looks like MCP and is not (no handshake, its own spelling of some keys); OpenEnv's clients speak it over ``POST
/mcp``, over ``WS /mcp`` and inside ``mcp`` messages on ``/ws``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from openenv.errors import (
    CapacityReached,
    FactoryFailed,
    InvalidArguments,
    InvalidFrame,
    OpenEnvError,
    RateLimited,
    SessionError,
    ToolNotFound,
    Unsupported,
    ValidationFailed,
)
from openenv.operation import Operation, Result
from openenv.protocol.json import dump, dump_error, parse, refusal
from openenv.types import ToolListing, ToolResult

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "SERVER_ERROR",
    "JsonRpcCodec",
    "RpcCall",
    "annotations_of",
    "rpc_error",
    "rpc_refusal",
    "rpc_result",
]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
SERVER_ERROR: Final = -32000


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"]
    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    id: str | StrictInt | None = None


@dataclass(slots=True)
class RpcCall:
    """A decoded request: the operation, or the answer when there is nothing to do."""

    id: str | int | None = None
    operation: Operation | None = None
    answer: bytes | None = None
    fault: OpenEnvError | None = None
    """Why there is an answer and no operation."""

    def to_run(self) -> Operation:
        """The operation, or an ``invalid`` one: what cannot be decoded goes the same way, to be refused and counted."""
        return self.operation or Operation("invalid", self.fault, id=self.id)


class JsonRpcCodec:
    """Decodes requests and encodes answers; it keeps nothing."""

    def decode(self, body: str | bytes) -> RpcCall:
        """A request's bytes. What cannot be decoded has its answer ready."""
        try:
            message = parse(body)
        except InvalidFrame:
            message = None
        if not isinstance(message, dict):
            return _undecoded(RpcCall(), PARSE_ERROR, "Parse error")
        return self.decode_message(message)

    def decode_message(self, message: dict[str, Any]) -> RpcCall:
        """A request that is JSON already."""
        try:
            request = _Request.model_validate(message)
        except ValidationError as error:
            return _undecoded(RpcCall(), INVALID_REQUEST, f"Invalid request: {refusal(error).hint}")
        call = RpcCall(id=request.id)
        params = request.params
        session = params.get("session_id")
        if session is not None and not isinstance(session, str):
            _undecoded(call, INVALID_PARAMS, "Invalid params - 'session_id' must be a string")
        elif request.method == "tools/list":
            call.operation = Operation("list_tools", session=session, id=request.id)
        elif request.method == "tools/call":
            self._decode_tool_call(call, params, session)
        elif request.method == "openenv/session/create":
            call.operation = Operation("create", id=request.id)
        elif request.method == "openenv/session/close":
            if session is None:
                _undecoded(call, INVALID_PARAMS, "Invalid params - 'session_id' is required")
            else:
                call.operation = Operation("close", session=session, id=request.id)
        else:
            _undecoded(call, METHOD_NOT_FOUND, f"Method not found: {request.method}")
        return call

    @staticmethod
    def _decode_tool_call(call: RpcCall, params: dict[str, Any], session: str | None) -> None:
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not name:
            _undecoded(call, INVALID_PARAMS, "Missing 'name' in params")
        elif arguments is not None and not isinstance(arguments, dict):
            _undecoded(call, INVALID_PARAMS, "Invalid params - 'arguments' must be an object")
        else:
            call.operation = Operation("call_tool", (name, arguments or {}), session=session, id=call.id)

    def encode(self, call: RpcCall, result: Result) -> bytes:
        """The answer to a call."""
        error = result.error or result.tool_error
        if call.answer is not None and (error is None or error is call.fault):
            return call.answer
        if error is not None:
            return rpc_refusal(call.id, error)
        operation = call.operation
        assert operation is not None
        try:
            if operation.op == "list_tools":
                return rpc_result(call.id, dump({"tools": list(_tools(result.value))}))
            if operation.op == "call_tool":
                return rpc_result(call.id, _tool_result(result.value))
            if operation.op == "create":
                return rpc_result(call.id, dump({"session_id": result.session}))
            return rpc_result(call.id, dump(result.value))
        except OpenEnvError as late:
            return rpc_refusal(call.id, late)


def _undecoded(call: RpcCall, code: int, message: str) -> RpcCall:
    call.answer = rpc_error(call.id, code, message)
    call.fault = InvalidFrame(message) if code == PARSE_ERROR else ValidationFailed(message)
    return call


def rpc_result(request_id: str | int | None, result: bytes) -> bytes:
    """A successful answer."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (dump(request_id), result)


def rpc_error(request_id: str | int | None, code: int, message: str, data: dict[str, Any] | None = None) -> bytes:
    """An error answer; ``data`` is always there, null when there is none."""
    words = dump_error({"message": message})[1:-1]
    told = b"null" if data is None else dump_error(data)
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,%b,"data":%b}}' % (dump(request_id), code, words, told)


def rpc_refusal(request_id: str | int | None, error: OpenEnvError) -> bytes:
    """A typed error as an answer: JSON-RPC's number for its kind, and our body as ``data``."""
    if isinstance(error, (CapacityReached, FactoryFailed, RateLimited)):
        return rpc_error(request_id, SERVER_ERROR, error.message, error.details | {"code": error.code})
    if isinstance(error, Unsupported):
        return rpc_error(request_id, INTERNAL_ERROR, error.message)
    if isinstance(error, (InvalidArguments, SessionError)) or error.code == InvalidArguments.code:
        return rpc_error(request_id, INVALID_PARAMS, error.message, error.body())
    if isinstance(error, ValidationFailed) and not isinstance(error, ToolNotFound):
        return rpc_error(request_id, INVALID_PARAMS, error.message, error.body())
    return rpc_error(request_id, INTERNAL_ERROR, error.message, error.body())


def _tools(listings: Iterable[ToolListing]) -> Iterable[dict[str, Any]]:
    for listing in listings:
        yield {
            "name": listing.name,
            "title": listing.title,
            "description": listing.description or None,
            "inputSchema": listing.input_schema,
            "outputSchema": listing.output_schema,
            "icons": listing.icons,
            "annotations": annotations_of(listing) or None,
            "meta": listing.meta,
            "execution": None,
        }


def annotations_of(listing: ToolListing) -> Mapping[str, Any]:
    """MCP's annotations of a tool."""
    if listing.annotations is not None:
        return listing.annotations
    if listing.read_only:
        return {"readOnlyHint": True}
    return {"readOnlyHint": False, "destructiveHint": listing.destructive, "idempotentHint": listing.idempotent}


def _tool_result(value: Any) -> bytes:
    """The value as text, as structured content and as OpenEnv's ``data``, encoded once."""
    if isinstance(value, ToolResult):
        return dump(value)
    data = dump(value)
    content: bytes = b"[]"
    structured = b"null"
    if value is not None:
        text = value if isinstance(value, str) else data.decode()
        content = b'[{"type":"text","text":%b,"annotations":null,"meta":null}]' % dump(text)
        structured = data if data.startswith(b"{") else b'{"result":%b}' % data
    return b'{"content":%b,"structured_content":%b,"meta":null,"data":%b,"is_error":false}' % (content, structured, data)
