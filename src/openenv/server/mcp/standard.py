"""Standard MCP over HTTP: the SDK's transports behind our routes, with environment sessions under them.

Revisions with a handshake: ``initialize`` opens an environment session (or points to the one that the URL or
``X-Session-ID`` names), and one of the SDK's streamable-HTTP transports serves it. The revision without one: each request
stands alone and is handed to the SDK's single-exchange entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request, Response
from mcp.server.streamable_http import check_accept_headers
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp_types import InitializeRequestParams, JSONRPCRequest
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from openenv.errors import InvalidFrame, Overloaded, SessionError, ValidationFailed
from openenv.operation import Operation, Result
from openenv.protocol.json import dump, parse, refusal
from openenv.runtime import Session, SessionRequest
from openenv.server.core import ServerCore
from openenv.server.http import JSON
from openenv.server.mcp.caller import CALLER, Caller
from openenv.server.mcp.handlers import server_of
from openenv.server.mcp.hosted import Handed, HostedSession, keep
from openenv.server.mcp.listening import Listening
from openenv.server.mcp.offers import register_offers
from openenv.server.mcp.seat import HandshakeSeat, KnownTools, Seat, SessionlessSeat

__all__ = ["StandardMcp"]

VERSION = "mcp-protocol-version"
SESSION = "mcp-session-id"
MAX_CLIENTS = 16
"""Clients that shook hands for one environment session; one more is refused."""


class StandardMcp:
    """Standard MCP of one server."""

    def __init__(self, core: ServerCore) -> None:
        self.core = core
        self._known = KnownTools(core)
        self._server = server_of(core, self._known, self._lifespan)
        self._hosted: dict[str, HostedSession] = {}
        register_offers(self._server, core.specification.environment_type)
        self._listening = Listening(core)
        self._listening.register(self._server)
        self._entry: asyncio.Future[StreamableHTTPSessionManager] | None = None
        self._over = asyncio.Event()
        core.on_shutdown.append(self._shut_down)

    async def answer(self, request: Request, caller: Caller, raw: bytes) -> Response:
        """The answer to a request. Raises `OpenEnvError` where it is refused before the SDK sees it."""
        request.scope[CALLER] = caller
        # HTTP/1.1 leaves spaces around a header's value to the recipient; the SDK compares values as they are.
        request.scope["headers"] = [(name, value.strip(b" \t")) for name, value in request.scope["headers"]]
        version = request.headers.get(VERSION)
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            return await self._answer_sessionless(caller, raw)
        if request.method != "POST":
            return await self._answer_stream(request, caller)
        message = _message(raw)
        if SESSION in request.headers:
            return self._existing(request, caller).response(raw)
        if isinstance(message, dict) and message.get("method") == "initialize":
            return await self._shake_hands(request, caller, message, raw)
        if version is not None:
            raise ValidationFailed(
                "there is no Mcp-Session-Id", field="Mcp-Session-Id", hint="Send initialize first; its answer has the header."
            )
        return _rejection(request, message)

    async def _shake_hands(self, request: Request, caller: Caller, message: dict[str, Any], raw: bytes) -> Response:
        """``initialize``: no environment is made for one that cannot succeed."""
        if not all(check_accept_headers(request)) or not _is_json(request):
            return _refused(request)
        try:
            JSONRPCRequest.model_validate(message)
            InitializeRequestParams.model_validate(message.get("params") or {})
        except ValidationError as error:
            told = refusal(error)
            raise ValidationFailed(f"initialize: {told.hint}", field=told.field) from None
        session, owned = await self._seat_for(caller)
        if sum(hosted.session is session for hosted in self._hosted.values()) >= MAX_CLIENTS:
            raise Overloaded(f"{MAX_CLIENTS} MCP clients share this session already", hint="End one of theirs with DELETE.")
        hosted = HostedSession(
            session.id if owned else self.core.manager.ids.new(), session, self.core, owned=owned, on_end=self._ended
        )
        self._hosted[hosted.id] = hosted
        await hosted.start(self._server, HandshakeSeat(self.core, self._known, session))
        if session.ended is not None:  # meanwhile; and perhaps before anybody was told of it
            hosted.end()
            self.core.manager.session(session.id, caller.connection.principal)  # says why
        return hosted.response(raw)

    async def _seat_for(self, caller: Caller) -> tuple[Session, bool]:
        """The environment session for a new client, and whether it is one of its own. Raises `OpenEnvError`."""
        manager, connection = self.core.manager, caller.connection
        named = caller.session or connection.headers.get("x-session-id")
        if named is not None:
            return manager.session(named, connection.principal), False
        world = self.core.world_of(caller.context)
        create = Operation("create", SessionRequest(world_name=world))
        result = await self.core.pipeline.run(self.core.operation(create, connection, caller.context, caller.size))
        if result.error is not None:
            raise result.error
        assert result.session is not None
        return manager.session(result.session, connection.principal), True

    def _existing(self, request: Request, caller: Caller) -> HostedSession:
        """The client's session. Raises `SessionError` for one that is unknown, has ended, or is somebody else's."""
        named = request.headers[SESSION]
        hosted = self._hosted.get(named)
        principal = caller.connection.principal
        if hosted is None:
            self.core.manager.session(named, principal)
            raise SessionError(f"Unknown Mcp-Session-Id: {named[:80]}", hint="Send initialize to begin a session.")
        self.core.manager.session(hosted.session.id, principal)
        if caller.session is not None and caller.session != hosted.session.id:
            raise SessionError("This Mcp-Session-Id belongs to another session's URL", hint="Use the URL of initialize.")
        return hosted

    async def _answer_stream(self, request: Request, caller: Caller) -> Response:
        if SESSION not in request.headers:
            raise ValidationFailed("there is no Mcp-Session-Id", field="Mcp-Session-Id", hint="Send initialize first.")
        hosted = self._existing(request, caller)
        if request.method == "GET":
            return hosted.response(b"")
        if hosted.owned:
            close = self.core.operation(Operation("close", session=hosted.session.id), caller.connection, caller.context)
            result: Result = await self.core.pipeline.run(close)
            if result.error is not None:
                raise result.error
        hosted.end()
        return Response(status_code=200)

    async def _answer_sessionless(self, caller: Caller, raw: bytes) -> Response:
        named = caller.session or caller.connection.headers.get("x-session-id")
        if named is not None:
            self.core.manager.session(named, caller.connection.principal)
            caller.session = named
        if self._entry is None:
            self._entry = asyncio.get_running_loop().create_future()
            keep(self._run_sessionless(self._entry))
        entry = await asyncio.shield(self._entry)
        if b"subscriptions/listen" in raw:
            return Handed(entry.handle_request, raw)

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            with self.core.answering():
                await entry.handle_request(scope, receive, send)

        return Handed(answered, raw)

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[Seat]:
        yield SessionlessSeat(self.core, self._known)

    async def _run_sessionless(self, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        """The SDK's entry for requests that stand alone; it wants to be held open by one task."""
        entry = StreamableHTTPSessionManager(self._server, stateless=True, max_request_body_size=self.core.max_body_bytes)
        over = self._over
        async with entry.run():
            ready.set_result(entry)
            await over.wait()

    def _ended(self, hosted: HostedSession) -> None:
        self._hosted.pop(hosted.id, None)

    def _shut_down(self) -> None:
        self._listening.close()
        for hosted in list(self._hosted.values()):
            hosted.end()
        self._over.set()
        self._over, self._entry = asyncio.Event(), None


def _message(raw: bytes) -> Any:
    try:
        return parse(raw)
    except InvalidFrame:
        return None


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON


def _refused(request: Request) -> Response:
    """The request's headers are not those of an MCP client."""
    if not _is_json(request):
        return _error(400, None, -32600, "Content-Type must be application/json")
    return _error(406, None, -32600, "Accept must name application/json and text/event-stream")


def _rejection(request: Request, message: Any) -> Response:
    """A request of the sessionless revision without the header that it must have."""
    body = message if isinstance(message, dict) else {}
    verdict = classify_inbound_request(body, headers=dict(request.headers))
    if not isinstance(verdict, InboundLadderRejection):
        verdict = InboundLadderRejection(-32600, f"{VERSION} is missing")
    return _error(400, body.get("id"), verdict.code, verdict.message, verdict.data)


def _error(status: int, request_id: Any, code: int, message: str, data: Any = None) -> Response:
    error = {"code": code, "message": message} | ({"data": data} if data is not None else {})
    return Response(dump({"jsonrpc": "2.0", "id": request_id, "error": error}), status_code=status, media_type=JSON)
