"""``POST /mcp``: OpenEnv's JSON-RPC over HTTP. Always 200; what went wrong is in the answer."""

from __future__ import annotations

import contextlib

from fastapi import APIRouter, Request, Response

from openenv.errors import OpenEnvError, ValidationFailed
from openenv.operation import Result
from openenv.protocol.jsonrpc import rpc_refusal
from openenv.runtime import SessionRequest
from openenv.server.core import ServerCore
from openenv.server.http import JSON, read_body

__all__ = ["McpRoute"]


class McpRoute:
    """The route of one server."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core

    def register(self, router: APIRouter) -> None:
        """Add the route."""
        router.add_api_route("/mcp", self.call, methods=["POST"], tags=["MCP"])

    async def call(self, request: Request) -> Response:
        """One JSON-RPC request: ``tools/list``, ``tools/call``, ``openenv/session/create`` or ``…/close``."""
        core = self.core
        connection = core.connection("mcp", request.scope)
        context = core.context(connection)
        try:
            raw = await read_body(request, core.max_body_bytes)
        except OpenEnvError as error:
            await core.refuse(error, connection, context)
        call = core.rpc_codec.decode(raw)
        operation = call.operation
        if operation is None:
            with contextlib.suppress(ValidationFailed):
                await core.refuse(ValidationFailed("not a JSON-RPC request that can be run"), connection, context)
            return Response(call.answer, media_type=JSON)
        try:
            if operation.op == "create":
                world = core.specification.environment_type.world_name(context)
                operation.payload = SessionRequest(world_name=world)
            elif operation.session is None and operation.op == "call_tool":
                session = await core.session_for(connection, context)
                if isinstance(session, Result):
                    return Response(core.rpc_codec.encode(call, session), media_type=JSON)
                operation.session = session
            result = await core.pipeline.run(core.operation(operation, connection, context, len(raw)))
        except OpenEnvError as error:
            return Response(rpc_refusal(call.id, error), media_type=JSON)
        return Response(core.rpc_codec.encode(call, result), media_type=JSON)
