"""OpenEnv 0.10's models of tool calls and of its JSON-RPC."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from openenv.core.env_server.types import BaseMessage, Observation
from openenv.tools.registry import RESERVED_NAMES
from openenv.types import CallToolAction, ListToolsAction, Tool

__all__ = [
    "RESERVED_TOOL_NAMES",
    "CallToolAction",
    "CallToolObservation",
    "JsonRpcError",
    "JsonRpcErrorCode",
    "JsonRpcRequest",
    "JsonRpcResponse",
    "ListToolsAction",
    "ListToolsObservation",
    "McpMethod",
    "Tool",
    "ToolError",
    "ToolErrorType",
    "WSMCPMessage",
    "WSMCPResponse",
]

RESERVED_TOOL_NAMES: Final = RESERVED_NAMES


class ToolErrorType(StrEnum):
    """The five kinds of failure that 0.10 tells apart."""

    EXECUTION_ERROR = "execution_error"
    INVALID_ARGS = "invalid_args"
    TRANSPORT_ERROR = "transport_error"
    TOOL_NOT_FOUND = "tool_not_found"
    TIMEOUT = "timeout"


class ToolError(BaseModel):
    """Why a tool call failed. Further keys are taken; this project's servers say more in the observation's ``metadata``."""

    model_config = ConfigDict(extra="allow")

    error_type: ToolErrorType
    message: str


class ListToolsObservation(Observation):
    """The tools that there are."""

    tools: list[Tool]


class CallToolObservation(Observation):
    """What a tool answered: ``result``, or ``error`` where it could not."""

    tool_name: str
    result: Any = None
    error: ToolError | None = None


class McpMethod(StrEnum):
    """The tool methods of the JSON-RPC."""

    TOOLS_LIST = "tools/list"
    TOOLS_CALL = "tools/call"


class JsonRpcErrorCode(IntEnum):
    """JSON-RPC 2.0's error numbers."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    SERVER_ERROR = -32000


_TEXTS: Final = {
    JsonRpcErrorCode.PARSE_ERROR: "Parse error",
    JsonRpcErrorCode.INVALID_REQUEST: "Invalid Request",
    JsonRpcErrorCode.METHOD_NOT_FOUND: "Method not found",
    JsonRpcErrorCode.INVALID_PARAMS: "Invalid params",
    JsonRpcErrorCode.INTERNAL_ERROR: "Internal error",
    JsonRpcErrorCode.SERVER_ERROR: "Server error",
}


class JsonRpcError(BaseModel):
    """The ``error`` of a response."""

    model_config = ConfigDict(extra="forbid")

    code: int
    message: str
    data: Any | None = None

    @classmethod
    def from_code(cls, code: JsonRpcErrorCode, message: str | None = None, data: Any = None) -> JsonRpcError:
        """The error of a number, with its standard text when none is given."""
        return cls(code=code.value, message=message or _TEXTS[code], data=data)


class JsonRpcRequest(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"]
    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    id: str | int | None = None


class JsonRpcResponse(BaseModel):
    """A response: ``result`` or ``error``, never both."""

    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"] = "2.0"
    result: Any | None = None
    error: JsonRpcError | None = None
    id: str | int | None = None

    @model_serializer
    def _without_the_other(self) -> dict[str, Any]:
        """``result`` or ``error``, as JSON-RPC wants it: the other key is left out."""
        head: dict[str, Any] = {"jsonrpc": self.jsonrpc, "id": self.id}
        return head | ({"result": self.result} if self.error is None else {"error": self.error})

    @classmethod
    def success(cls, result: Any, request_id: str | int | None = None) -> JsonRpcResponse:
        """A response that tells a result."""
        return cls(result=result, id=request_id)

    @classmethod
    def error_response(
        cls, code: JsonRpcErrorCode, message: str | None = None, data: Any = None, request_id: str | int | None = None
    ) -> JsonRpcResponse:
        """A response that tells an error."""
        return cls(error=JsonRpcError.from_code(code, message, data), id=request_id)


class WSMCPMessage(BaseMessage):
    """A JSON-RPC request on ``/ws``."""

    type: Literal["mcp"] = "mcp"
    data: dict[str, Any]


class WSMCPResponse(BaseModel):
    """A JSON-RPC response on ``/ws``."""

    model_config = ConfigDict(extra="forbid")

    type: str = "mcp"
    data: dict[str, Any]
