"""``/mcp`` and ``/sessions/{id}/mcp``: which of two protocols a request speaks, and OpenEnv's JSON-RPC.

A request is standard MCP when its method is ``initialize`` or ``server/discover``, or when it carries
``MCP-Protocol-Version``, ``Mcp-Session-Id`` or a protocol version in ``_meta``. Everything else is OpenEnv's JSON-RPC:
always 200; what went wrong is in the answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.types import Scope

from openenv.errors import InvalidFrame, OpenEnvError, Unsupported, ValidationFailed
from openenv.extras import import_with_mcp
from openenv.protocol.json import parse
from openenv.protocol.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, rpc_error, rpc_refusal
from openenv.runtime import SessionRequest
from openenv.server.core import ServerCore
from openenv.server.described import JSON, rpc_route
from openenv.server.http import read_body, retry_headers
from openenv.server.mcp.caller import Caller
from openenv.server.moving import Moving

if TYPE_CHECKING:
    from openenv.server.mcp.standard import StandardMcp

__all__ = ["McpRoute"]

_STANDARD_METHODS = ("initialize", "server/discover")
_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_HINTS = (b"initialize", b"discover", b"protocolVersion")
"""A body with none of these is OpenEnv's: it is not parsed twice."""


class McpRoute:
    """The routes of one server."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core
        self._standard: StandardMcp | None = None

    def register(self, router: APIRouter) -> None:
        """Add the routes."""
        for path in ("/mcp", "/sessions/{session_id}/mcp"):
            router.add_api_route(path, self.call, methods=["POST"], tags=["MCP"], **rpc_route())
            router.add_api_route(path, self.stream, methods=["GET", "DELETE"], include_in_schema=False)

    async def call(self, request: Request) -> Response:
        """One message: standard MCP, or OpenEnv's ``tools/list``, ``tools/call``, ``openenv/session/create`` or ``…/close``."""
        core = self.core
        connection = core.connection("mcp", request.scope)
        caller = Caller(connection, core.context(connection), request.path_params.get("session_id"))
        try:
            raw = await read_body(request, core.max_body_bytes)
        except OpenEnvError as error:
            await core.refuse(error, connection, caller.context)
        caller.size = len(raw)
        if _has_standard_header(request) or (any(hint in raw for hint in _HINTS) and _is_standard(raw)):
            return await self._answer_standard(request, caller, raw)
        return await self._answer_rpc(request.scope, caller, raw)

    async def stream(self, request: Request) -> Response:
        """Standard MCP's GET (messages for the client) and DELETE (the end of its session)."""
        if not _has_standard_header(request):
            raise HTTPException(405, headers={"Allow": "POST"})
        connection = self.core.connection("mcp", request.scope)
        caller = Caller(connection, self.core.context(connection), request.path_params.get("session_id"))
        return await self._answer_standard(request, caller, b"")

    async def _answer_standard(self, request: Request, caller: Caller, raw: bytes) -> Response:
        try:
            self.core.guard.check(caller.connection.headers, request.scope.get("server"), always=True)
            if self._standard is None:
                self._standard = await self._load()
            return await self._standard.answer(request, caller, raw)
        except OpenEnvError as refused:
            error = self.core.told(refused, "mcp", request.scope)
            headers = retry_headers(error)
            status = 400 if error.http_status == 422 else error.http_status
            code = INVALID_PARAMS if isinstance(error, ValidationFailed) else INVALID_REQUEST
            content = rpc_error(_id_of(raw), code, error.message, error.body())
            return Response(content, status_code=status, headers=headers, media_type=JSON)

    async def _load(self) -> StandardMcp:
        """The SDK takes most of a second to import: not on the event loop."""
        try:
            module = await asyncio.to_thread(import_with_mcp, "openenv.server.mcp.standard")
        except ImportError as error:
            raise Unsupported(
                f"this server lacks the extra for standard MCP ({error})",
                hint='Install it: pip install "openenv[mcp]". OpenEnv\'s own JSON-RPC is served without it.',
            ) from None
        made: StandardMcp = self._standard or module.StandardMcp(self.core)
        return made

    async def _answer_rpc(self, scope: Scope, caller: Caller, raw: bytes) -> Response:
        core, connection, context = self.core, caller.connection, caller.context
        call = core.rpc_codec.decode(raw)
        operation = call.to_run()
        try:
            if operation.op == "create":
                world = core.world_of(context)
                operation.payload = SessionRequest(world_name=world)
            elif operation.session is None and caller.session is not None:
                operation.session = caller.session
            elif operation.session is None and operation.op == "call_tool":
                operation.session = await core.session_for(connection, context)
            if core.siblings is not None and (home := core.siblings.home(operation.session or "")) is not None:
                return Moving(home, raw)
            result = await core.pipeline.run(core.operation(operation, connection, context, len(raw)))
        except OpenEnvError as error:
            return Response(rpc_refusal(call.id, core.told(error, "mcp", scope)), media_type=JSON)
        return Response(core.rpc_codec.encode(call, result), media_type=JSON)


def _has_standard_header(request: Request) -> bool:
    return "mcp-session-id" in request.headers or "mcp-protocol-version" in request.headers


def _is_standard(raw: bytes) -> bool:
    message = _parsed(raw)
    if not isinstance(message, dict):
        return False
    if message.get("method") in _STANDARD_METHODS:
        return True
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return isinstance(meta, dict) and _VERSION_KEY in meta


def _id_of(raw: bytes) -> str | int | None:
    message = _parsed(raw)
    found = message.get("id") if isinstance(message, dict) else None
    return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None


def _parsed(raw: bytes) -> Any:
    try:
        return parse(raw)
    except InvalidFrame:
        return None
