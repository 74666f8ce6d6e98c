"""Documents and prompts, of environments that have some: each request is a question to the environment, not a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic_core import from_json

from openenv.errors import OpenEnvError
from openenv.protocol.json import dump
from openenv.server.mcp.handlers import Context, caller_of
from openenv.server.mcp.results import refusal
from openenv.server.mcp.seat import LocalSeat, Seat
from openenv.tools import PromptProvider, ResourceProvider

__all__ = ["register_offers"]

RESOURCE_NOT_FOUND: Final = -32002
"""Of the revisions with a handshake; the newest says that the params are wrong."""
MAX_COMPLETIONS: Final = 100


def register_offers(server: Server[Seat], kind: type) -> None:
    """Serve what this class of environments has."""
    if issubclass(kind, ResourceProvider):
        server.add_request_handler("resources/list", types.PaginatedRequestParams, _list_resources)
        server.add_request_handler("resources/templates/list", types.PaginatedRequestParams, _list_templates)
        server.add_request_handler("resources/read", types.ReadResourceRequestParams, _read_resource)
    if issubclass(kind, PromptProvider):
        server.add_request_handler("prompts/list", types.PaginatedRequestParams, _list_prompts)
        server.add_request_handler("prompts/get", types.GetPromptRequestParams, _get_prompt)
        server.add_request_handler("completion/complete", types.CompleteRequestParams, _complete)


async def _list_resources(ctx: Context, _: types.PaginatedRequestParams) -> Any:
    return _done({"resources": await _ask(ctx, "list_resources")})


async def _list_templates(ctx: Context, _: types.PaginatedRequestParams) -> Any:
    return _done({"resourceTemplates": await _ask(ctx, "list_resource_templates")})


async def _read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> Any:
    uri = str(params.uri)
    contents = await _ask(ctx, "read_resource", uri=uri)
    if contents is None:
        code = INVALID_PARAMS if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS else RESOURCE_NOT_FOUND
        raise MCPError(code, "Resource not found", {"uri": uri})
    return _done({"contents": contents})


async def _list_prompts(ctx: Context, _: types.PaginatedRequestParams) -> Any:
    return _done({"prompts": await _ask(ctx, "list_prompts")})


async def _get_prompt(ctx: Context, params: types.GetPromptRequestParams) -> Any:
    prompt = await _ask(ctx, "get_prompt", name=params.name, arguments=params.arguments or {})
    if prompt is None:
        raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name[:80]}")
    return _done(prompt)


async def _complete(ctx: Context, params: types.CompleteRequestParams) -> Any:
    argument = params.argument
    values: list[str] = []
    if isinstance(params.ref, types.PromptReference):
        asked = {"name": params.ref.name, "argument": argument.name, "value": argument.value}
        values = await _ask(ctx, "complete_argument", **asked)
    completion = {"values": values[:MAX_COMPLETIONS], "total": len(values), "hasMore": len(values) > MAX_COMPLETIONS}
    return _done({"completion": completion})


async def _ask(ctx: Context, question: str, **arguments: Any) -> Any:
    seat = ctx.lifespan_context
    assert isinstance(seat, LocalSeat)
    try:
        return from_json(dump(await seat.ask(question, arguments, caller_of(ctx))))
    except OpenEnvError as error:
        raise refusal(error) from None


def _done(result: Mapping[str, Any]) -> dict[str, Any]:
    return {**result, "resultType": "complete"}
