"""Calling an environment's tools in the session that the client holds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from openenv.client import frames
from openenv.client.blockable import awaited
from openenv.client.core import ActionT, EnvClient, ObservationT, StateT
from openenv.client.sync import SyncEnvClient
from openenv.errors import InvalidArguments, OpenEnvError, ServerError, ToolFailed, ToolNotFound
from openenv.types import Tool

__all__ = ["SyncToolClient", "ToolClient", "rpc_error", "tool_of"]

_NOT_THE_TOOLS = frozenset(
    {
        "CAPACITY_REACHED",
        "EPISODE_OVER",
        "FACTORY_ERROR",
        "INTERNAL_ERROR",
        "INVALID_JSON",
        "LANE_LOST",
        "OVERLOADED",
        "PAYLOAD_TOO_LARGE",
        "SESSION_ERROR",
        "SHUTTING_DOWN",
        "UNKNOWN_TYPE",
        "UNSUPPORTED",
        "VALIDATION_ERROR",
        "WORKER_CRASHED",
        "WORKER_MEMORY",
        "WORKER_TIMEOUT",
    }
)
"""Codes that say something of the server or the session. Any other is a tool's own answer."""

_INVALID_PARAMS = -32602
_TOOL_RAISED = -32603


class ToolClient(EnvClient[ActionT, ObservationT, StateT]):
    """An `EnvClient` that also lists and calls tools. Each call is a step of the session."""

    _tools: list[Tool] | None = None
    _ids = itertools.count(1)

    @awaited
    async def list_tools(self, use_cache: bool = True) -> list[Tool]:
        """The environment's tools. They are asked for once, unless ``use_cache`` is false.

        Raises:
            ServerError: The environment has none (``UNSUPPORTED``), or the server failed.
        """
        if self._tools is None or not use_cache:
            result = await self._call("tools/list", {})
            listed = result.get("tools") if isinstance(result, dict) else None
            if not isinstance(listed, list):
                raise ServerError("The answer to tools/list has no list of tools", code="INTERNAL_ERROR")
            self._tools = [tool_of(item) for item in listed]
        return list(self._tools)

    @awaited
    async def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool and return its value, in JSON's types.

        Raises:
            ToolNotFound: There is no such tool.
            InvalidArguments: An argument is wrong: ``field`` names it, ``hint`` and ``example`` say what fits.
            ToolFailed: The tool said no; ``code`` says why.
            ServerError, DeadlineExceeded, SessionLost: As for a step.
        """
        result = await self._call("tools/call", {"name": name, "arguments": arguments})
        return result["data"] if isinstance(result, dict) and "data" in result else result

    @awaited
    async def get_tool(self, name: str) -> Tool | None:
        """The tool of this name, or ``None``."""
        return next((tool for tool in await self.list_tools() if tool.name == name), None)

    @awaited
    async def has_tool(self, name: str) -> bool:
        """Whether there is a tool of this name."""
        return await self.get_tool(name) is not None

    def sync(self) -> SyncToolClient[ActionT, ObservationT, StateT]:
        """A blocking facade of this client, with an event loop of its own."""
        return SyncToolClient(self)

    async def _call(self, method: str, params: Mapping[str, Any]) -> Any:
        if self._v2 is not None:
            return await self._v2.tools(method, params)
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._ids)}
        answer = await self._ask("mcp", request, "mcp")
        error = answer.get("error")
        if isinstance(error, dict):
            raise rpc_error(error)
        return answer.get("result")


class SyncToolClient(SyncEnvClient[ActionT, ObservationT, StateT]):
    """The verbs of a `ToolClient`, blocking."""

    def list_tools(self, use_cache: bool = True) -> list[Tool]:
        """The environment's tools."""
        tools: list[Tool] = self._run(self._tool_client.list_tools, use_cache)
        return tools

    def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool and return its value."""
        return self._run(self._tool_client.call_tool, name, **arguments)

    def get_tool(self, name: str) -> Tool | None:
        """The tool of this name, or ``None``."""
        tool: Tool | None = self._run(self._tool_client.get_tool, name)
        return tool

    def has_tool(self, name: str) -> bool:
        """Whether there is a tool of this name."""
        return bool(self._run(self._tool_client.has_tool, name))

    @property
    def _tool_client(self) -> ToolClient[ActionT, ObservationT, StateT]:
        assert isinstance(self.async_client, ToolClient)
        return self.async_client


def rpc_error(error: Mapping[str, Any]) -> OpenEnvError:
    """The exception for a JSON-RPC error: by the code in its ``data``, or by what OpenEnv 0.10 says without one."""
    message = frames.text_of(error.get("message"), "no message")
    data = error.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("code"), str):
        return _error_without_code(error.get("code"), message, data if isinstance(data, dict) else {})
    code, known = data["code"], frames.known_of(data)
    message = frames.text_of(data.get("message"), message)
    if code == ToolNotFound.code:
        return ToolNotFound(message, **known)
    if code == InvalidArguments.code:
        return InvalidArguments(message, **known)
    if code in _NOT_THE_TOOLS:
        return ServerError(message, code=code, **known)
    return ToolFailed(message, code=code, **known)


def _error_without_code(number: Any, message: str, details: Mapping[str, Any]) -> OpenEnvError:
    if message.startswith("Unknown tool"):
        return ToolNotFound(message, hint="list_tools() names the tools that there are.")
    if "does not support MCP" in message:
        return ServerError(message, code="UNSUPPORTED", details=details)
    if number == _INVALID_PARAMS or "validation error" in message:
        return InvalidArguments(message, details=details)
    if number == _TOOL_RAISED:
        return ToolFailed(message, code="EXECUTION_ERROR", details=details)
    return ServerError(message, code="INTERNAL_ERROR", details={"rpc_code": number, **details})


def tool_of(item: Any) -> Tool:
    """A listed tool, with its schema spelled either way that OpenEnv's servers spell it."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise ServerError("The answer to tools/list has a tool without a name", code="INTERNAL_ERROR")
    schema = item.get("inputSchema", item.get("input_schema"))
    return Tool(
        name=item["name"],
        description=frames.text_of(item.get("description"), ""),
        input_schema=schema if isinstance(schema, dict) else {},
    )
