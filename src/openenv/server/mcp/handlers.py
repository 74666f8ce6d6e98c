"""The SDK's low-level server, each of whose handlers is one operation of the pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, get_args

import mcp_types as types
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.connection import allowed_log_levels
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.models import InitializationOptions
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic_core import from_json

from openenv.errors import ExecutionFailed, OpenEnvError
from openenv.operation import Control, Notice, Operation
from openenv.protocol.json import dump
from openenv.server.core import ServerCore
from openenv.server.mcp.caller import CALLER, Caller
from openenv.server.mcp.results import call_result, refusal, tools
from openenv.server.mcp.seat import KnownTools, Seat
from openenv.version import __version__

__all__ = ["Context", "caller_of", "initialization", "make_server", "server_of"]

log = logging.getLogger("openenv.server")

Context = ServerRequestContext[Seat, Any]
MAX_NOTICES = 1024
"""Notices of one call that wait for its client; one more is dropped and counted."""
FRESH_MS = 60_000
"""For how long a client of the sessionless revision may keep the list of tools, where it is the same for everyone."""
_LEVELS: Final[tuple[str, ...]] = get_args(types.LoggingLevel)
_INSTRUCTIONS = (
    "Every tool call is a step of an episode, which begins with the first one. "
    "A result's _meta has the step's reward (openenv/reward) and whether the episode is over (openenv/done)."
)


def make_server(
    name: str,
    version: str,
    description: str,
    *,
    schema_of: Callable[[str], Any] | None,
    fixed: bool,
    lifespan: Callable[[Any], AbstractAsyncContextManager[Seat]],
) -> Server[Seat]:
    """The server of an environment.

    Args:
        name: The environment's.
        version: Its version.
        description: What it is.
        schema_of: The schema of a tool's arguments by its name, for arguments that are repeated in headers; None lists the
            tools for it.
        fixed: Whether the tools are the same for everyone, always.
        lifespan: Hands out the seat where the SDK runs the server by itself.
    """
    fresh = CacheHint(FRESH_MS, "private")
    hints: dict[CacheableMethod, CacheHint] = {method: CacheHint() for method in get_args(CacheableMethod)}
    hints["server/discover"] = fresh
    if fixed:
        hints["tools/list"] = fresh
    server: Server[Seat] = Server(
        name,
        version=version,
        description=description,
        instructions=_INSTRUCTIONS,
        cache_hints=hints,
        lifespan=lifespan,
        get_tool_input_schema=schema_of,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,  # type: ignore[arg-type]  # the SDK takes the JSON object as well
    )
    # Not an argument of the constructor: that warns, since the newest revision has no such method any more.
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _set_level)

    async def discover(ctx: Context, _: types.RequestParams) -> types.DiscoverResult:
        """The SDK's own answer, less what is never announced here: changes of prompts and documents."""
        able = server.get_capabilities(protocol_version=ctx.protocol_version)
        if able.prompts is not None:
            able.prompts.list_changed = False
        if able.resources is not None:
            able.resources.list_changed = able.resources.subscribe = False
        return types.DiscoverResult(
            supported_versions=list(MODERN_PROTOCOL_VERSIONS), capabilities=able, instructions=server.instructions
        )

    server.add_request_handler("server/discover", types.RequestParams, discover)
    return server


def server_of(core: ServerCore, known: KnownTools, lifespan: Callable[[Any], AbstractAsyncContextManager[Seat]]) -> Server[Seat]:
    """The server of an environment that is played in this process."""
    described = core.specification.environment_type.get_metadata()
    return make_server(
        core.specification.name,
        described.version or __version__,
        described.description,
        schema_of=(lambda name: getattr(known.fixed(name), "input_schema", None)) if known.are_fixed else None,
        fixed=known.are_fixed,
        lifespan=lifespan,
    )


def initialization(server: Server[Seat]) -> InitializationOptions:
    """What ``initialize`` answers."""
    return server.create_initialization_options(NotificationOptions(tools_changed=True))


async def _list_tools(ctx: Context, _: types.PaginatedRequestParams | None) -> Any:
    seat = ctx.lifespan_context
    if seat.caller is not None:
        seat.told = ctx.session.send_tool_list_changed
    try:
        return {"tools": tools(await seat.list_tools(caller_of(ctx))), "resultType": "complete"}
    except OpenEnvError as error:
        raise refusal(error) from None


async def _set_level(ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
    ctx.lifespan_context.level = params.level
    return types.EmptyResult()


async def _call_tool(ctx: Context, params: types.CallToolRequestParams) -> dict[str, Any]:
    notices: asyncio.Queue[Notice | None] = asyncio.Queue()
    control = Control(lambda notice: _note(notices, notice, control))
    operation = Operation("call_tool", (params.name, params.arguments or {}), id=ctx.request_id, control=control)
    telling = asyncio.create_task(_tell(ctx, notices))
    try:
        outcome = await ctx.lifespan_context.call_tool(operation, caller_of(ctx))
        notices.put_nowait(None)
        await telling
    except asyncio.CancelledError:
        control.cancel()
        raise
    except OpenEnvError as error:
        raise refusal(error) from None
    finally:
        telling.cancel()
    return call_result(*outcome) | {"resultType": "complete"}


def caller_of(ctx: Context) -> Caller:
    """Who sent the message: noted by the route, or the one caller that there is."""
    caller: Caller | None = ctx.lifespan_context.caller if ctx.request is None else ctx.request.scope.get(CALLER)
    assert caller is not None
    return caller


def _note(notices: asyncio.Queue[Notice | None], notice: Notice, control: Control) -> None:
    if notices.qsize() >= MAX_NOTICES:
        control.dropped += 1
        return
    notices.put_nowait(notice)


async def _tell(ctx: Context, notices: asyncio.Queue[Notice | None]) -> None:
    """Pass an environment's notices on to the client, in order, on the stream of the call they belong to."""
    allowed = allowed_log_levels(ctx.protocol_version, ctx.meta)
    while (notice := await notices.get()) is not None:
        if notice.kind == "progress":
            await ctx.session.report_progress(notice.progress, notice.total, notice.message)
        elif notice.level in allowed and _LEVELS.index(notice.level) >= _LEVELS.index(ctx.lifespan_context.level):
            params = types.LoggingMessageNotificationParams(level=notice.level, logger=None, data=_plain(notice.message))
            await ctx.session.send_notification(types.LoggingMessageNotification(params=params), ctx.request_id)


def _plain(message: Any) -> Any:
    try:
        return from_json(dump(message))
    except ExecutionFailed:
        return repr(message)
