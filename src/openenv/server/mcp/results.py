"""What the engine says, in standard MCP's terms. Results are the JSON objects that travel; the SDK checks their shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, INVALID_REQUEST
from pydantic_core import from_json

from openenv.errors import ExecutionFailed, OpenEnvError, ToolNotFound, Unsupported
from openenv.operation import Result
from openenv.protocol.json import dump, dump_error
from openenv.protocol.jsonrpc import annotations_of
from openenv.tools.arguments import is_wrapped
from openenv.types import ToolListing, ToolResult

__all__ = ["call_result", "refusal", "tools"]

_NO_ANSWER: Final = frozenset(
    {
        "CAPACITY_REACHED",
        "FACTORY_ERROR",
        "FORBIDDEN",
        "RATE_LIMITED",
        "SESSION_ERROR",
        "SHUTTING_DOWN",
        "UNAUTHENTICATED",
        "UNSUPPORTED",
    }
)
"""What the server says, and a model that calls tools can do nothing about: protocol errors. What a tool says never is one."""


def tools(listings: Iterable[ToolListing]) -> list[dict[str, Any]]:
    """The list of tools, with what is known of each and nothing else."""
    return [_tool(listing) for listing in listings]


def _tool(listing: ToolListing) -> dict[str, Any]:
    known = {
        "title": listing.title,
        "description": listing.description,
        "outputSchema": listing.output_schema,
        "annotations": dict(annotations_of(listing)),
        "icons": listing.icons,
        "_meta": listing.meta,
    }
    schema = {"type": "object"} | listing.input_schema
    return {"name": listing.name, "inputSchema": schema} | {key: value for key, value in known.items() if value is not None}


def call_result(result: Result, listing: ToolListing | None, session: str | None) -> dict[str, Any]:
    """What came of a tool call: the step's reward and end are in ``_meta``.

    Raises `MCPError` for what is no tool's answer: an unknown tool, a session that is none.
    """
    meta = _meta(result, session)
    if result.error is not None:
        if result.error.code in _NO_ANSWER:
            raise refusal(result.error)
        return _failure(result.error, meta)
    if result.tool_error is not None:
        if listing is None and result.tool_error.code == ToolNotFound.code:
            raise refusal(result.tool_error)
        return _failure(result.tool_error, meta)
    try:
        return _success(result.value, listing, meta)
    except ExecutionFailed as unspeakable:
        return _failure(unspeakable, meta)


def _failure(error: OpenEnvError, meta: dict[str, Any]) -> dict[str, Any]:
    """An error for the model that called the tool: the body (code, message, field, hint, example) as text and as data."""
    body = dump_error(error.body())
    return {
        "content": [{"type": "text", "text": body.decode()}],
        "structuredContent": from_json(body),
        "isError": True,
        "_meta": meta,
    }


def refusal(error: OpenEnvError) -> MCPError:
    """A typed error as a protocol error."""
    number = INVALID_PARAMS if error.code in (ToolNotFound.code, Unsupported.code) else INVALID_REQUEST
    return MCPError(number, error.message, from_json(dump_error(error.body())))


def _meta(result: Result, session: str | None) -> dict[str, Any]:
    known = {
        "openenv/reward": result.reward,
        "openenv/done": result.done,
        "openenv/session": session,
        "openenv/episode": result.episode,
    }
    try:
        meta: dict[str, Any] = from_json(dump(known))
    except ExecutionFailed:
        return {"openenv/done": result.done}
    return meta


def _success(value: Any, listing: ToolListing | None, meta: dict[str, Any]) -> dict[str, Any]:
    if isinstance(value, ToolResult):
        made = {"content": from_json(dump(value.content)), "isError": value.is_error, "_meta": (value.meta or {}) | meta}
        if value.structured_content is not None:
            made["structuredContent"] = from_json(dump(value.structured_content))
        return made
    encoded = dump(value)
    text = value if isinstance(value, str) else encoded.decode()
    content = [] if value is None else [{"type": "text", "text": text}]
    made = {"content": content, "isError": False, "_meta": meta}
    if listing is not None and listing.output_schema is not None:
        plain = from_json(encoded)
        made["structuredContent"] = {"result": plain} if is_wrapped(listing.output_schema) else plain
    return made
