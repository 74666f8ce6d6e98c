"""A seat on another server, over the OpenEnv protocol: for clients that speak MCP only, and over a pipe."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from openenv.client import ToolClient
from openenv.errors import InvalidArguments, OpenEnvError, ServerError, ToolFailed, ToolNotFound
from openenv.operation import NO_CONTEXT, Connection, Operation, Result
from openenv.server.mcp.caller import Caller
from openenv.server.mcp.seat import Seat
from openenv.types import ToolListing, ToolResult

__all__ = ["RemoteSeat"]


class _Client(ToolClient[Any, Any, Any]):
    """A tool client that hands on what the server said, whole."""

    async def listed(self) -> list[dict[str, Any]]:
        result = await self._call("tools/list", {})
        found = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(found, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in found):
            raise ServerError("The answer to tools/list has no list of tools", code="INTERNAL_ERROR")
        return found

    async def called(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        result = await self._call("tools/call", {"name": name, "arguments": arguments})
        return result if isinstance(result, dict) else {"data": result}


class RemoteSeat(Seat):
    """One session on a server: that of the socket which the client holds."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.client = _Client(url, headers=headers, message_timeout_s=None)
        self.caller = Caller(Connection("mcp-stdio", {}, {}), NO_CONTEXT)
        self._tools: dict[str, ToolListing] = {}

    async def list_tools(self, caller: Caller) -> Sequence[ToolListing]:
        listed = [_listing(one) for one in await self.client.listed()]
        self._tools = {listing.name: listing for listing in listed}
        return listed

    async def call_tool(self, operation: Operation, caller: Caller) -> tuple[Result, ToolListing | None, str | None]:
        name, arguments = operation.payload
        # A call that is given up half way would take the session with it: it is left to end, and its answer dropped.
        calling = asyncio.ensure_future(self.client.called(name, arguments))
        try:
            answer = await asyncio.shield(calling)
        except (ToolNotFound, InvalidArguments, ToolFailed) as error:
            return Result(tool_error=error), self._tools.get(name), None
        except OpenEnvError as error:
            return Result(error=error), self._tools.get(name), None
        return Result(value=_value(answer)), self._tools.get(name), None


def _listing(tool: Mapping[str, Any]) -> ToolListing:
    schema = tool.get("inputSchema") or tool.get("input_schema") or {}
    return ToolListing(
        tool["name"],
        tool.get("description") or "",
        schema,
        title=tool.get("title"),
        output_schema=tool.get("outputSchema"),
        annotations=tool.get("annotations") or {},
        icons=tool.get("icons"),
        meta=tool.get("meta") or tool.get("_meta"),
    )


def _value(answer: Mapping[str, Any]) -> Any:
    content = answer.get("content")
    if not isinstance(content, list):
        return answer.get("data")
    if all(isinstance(block, dict) and block.get("type") == "text" for block in content) and "data" in answer:
        return answer["data"]
    return ToolResult(content, answer.get("structured_content"), answer.get("meta"), is_error=bool(answer.get("is_error")))
