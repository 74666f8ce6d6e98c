"""``/ws`` and ``WS /mcp`` as plain ASGI: a frame in, a frame out, in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from openenv.errors import OpenEnvError, ValidationFailed
from openenv.operation import Connection, Operation, RequestContext, Result
from openenv.protocol import OpenEnvCodec
from openenv.protocol.jsonrpc import INVALID_REQUEST, RpcCall, rpc_error, rpc_refusal
from openenv.protocol.socket import Frame
from openenv.runtime import Session, SessionRequest
from openenv.server.core import ServerCore

__all__ = ["McpSocket", "OpenEnvSocket"]

log = logging.getLogger("openenv.server")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BINARY = ValidationFailed("frames are text, not binary", hint="Send the JSON as a text frame.", errors=[])


class _Socket:
    """What both WebSocket doors do alike: accept, seat, answer frame by frame, leave."""

    transport = "websocket"

    def __init__(self, core: ServerCore) -> None:
        self.core = core

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            connection = self.core.connection(self.transport, scope)
            context = self.core.context(connection)
            session, owned = await self.seat(connection, context)
        except OpenEnvError as error:
            await self._refuse(error, send)
            return
        try:
            await self._converse(session, connection, context, receive, send)
        finally:
            session.on_end = None
            manager = self.core.manager
            if owned:
                manager.end(session, "its socket closed")
            else:
                manager.detach(session)

    async def seat(self, connection: Connection, context: RequestContext) -> tuple[Session, bool]:
        """The socket's session, and whether it is the socket's own. Raises `OpenEnvError`."""
        manager = self.core.manager
        named = connection.query.get("session_id")
        if named is not None and self.attachable:
            return manager.attach(named, connection.principal), False
        world = self.core.specification.environment_type.world_name(context)
        create = Operation("create", SessionRequest(kind="socket", world_name=world))
        result = await self.core.pipeline.run(self.core.operation(create, connection, context))
        if result.error is not None:
            raise result.error
        assert result.session is not None
        return manager.sessions[result.session], True

    attachable = False

    async def _converse(
        self, session: Session, connection: Connection, context: RequestContext, receive: Receive, send: Send
    ) -> None:
        core = self.core
        answering = False

        def ended(_: str) -> None:
            if not answering:
                _in_background(send({"type": "websocket.close", "code": 1000}))

        session.on_end = ended
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            answering = True
            core.replying += 1
            try:
                reply = await self.answer(message.get("text"), session, connection, context)
                if reply is not None:
                    await send({"type": "websocket.send", "text": reply.decode()})
                if reply is None or session.ended:
                    await send({"type": "websocket.close", "code": 1000})
                    return
            except (OSError, RuntimeError) as error:
                # The server's ASGI layer raises one of these when the client went away during the step.
                log.debug("the reply could not be sent: %s", error)
                return
            finally:
                answering = False
                core.replying -= 1

    async def answer(
        self, text: str | None, session: Session, connection: Connection, context: RequestContext
    ) -> bytes | None:
        """The reply to a frame; None to close the socket."""
        raise NotImplementedError

    async def _refuse(self, error: OpenEnvError, send: Send) -> None:
        await send({"type": "websocket.send", "text": self.refusal(error).decode()})
        await send({"type": "websocket.close", "code": 1000})

    def refusal(self, error: OpenEnvError) -> bytes:
        """The frame that tells why there is no session."""
        raise NotImplementedError


class OpenEnvSocket(_Socket):
    """``/ws``: OpenEnv's dialect and the simple one."""

    attachable = True

    async def answer(
        self, text: str | None, session: Session, connection: Connection, context: RequestContext
    ) -> bytes | None:
        core = self.core
        if text is None:
            frame = Frame(Operation("invalid", _BINARY), OpenEnvCodec)
            size = 0
        else:
            frame = core.socket_codec.decode(text)
            size = len(text)
        operation = core.operation(frame.operation, connection, context, size)
        if frame.call is not None:
            ready = _own_session_method(frame.call, session)
            if ready is not None:
                return core.socket_codec.encode(frame, ready)
        elif operation.op == "close":
            return None
        operation.session = session.id
        return core.socket_codec.encode(frame, await core.pipeline.run(operation))

    def refusal(self, error: OpenEnvError) -> bytes:
        return OpenEnvCodec.encode_error(error)


class McpSocket(_Socket):
    """``WS /mcp``: bare JSON-RPC frames on a session of the socket's own."""

    transport = "mcp-websocket"

    async def answer(
        self, text: str | None, session: Session, connection: Connection, context: RequestContext
    ) -> bytes | None:
        core = self.core
        call = core.rpc_codec.decode(text if text is not None else "")
        if call.operation is None:
            return call.answer
        ready = _own_session_method(call, session)
        if ready is not None:
            return core.rpc_codec.encode(call, ready)
        operation = core.operation(call.operation, connection, context, len(text or ""))
        operation.session = session.id
        return core.rpc_codec.encode(call, await core.pipeline.run(operation))

    def refusal(self, error: OpenEnvError) -> bytes:
        return rpc_refusal(None, error)


def _own_session_method(call: RpcCall, session: Session) -> Result | None:
    """``openenv/session/create`` on a socket names the socket's session; ``close`` cannot close it from within."""
    operation = call.operation
    if operation is None:
        return Result()
    if operation.op == "create":
        return Result(session=session.id)
    if operation.op == "close":
        text = "Cannot close active WebSocket-managed session via MCP method"
        call.answer = rpc_error(call.id, INVALID_REQUEST, text)
        return Result()
    return None


_closing: set[asyncio.Task[None]] = set()


def _in_background(sending: Awaitable[None]) -> None:
    """Send from a callback; the socket may be gone already, which is what the sending is for."""

    async def send() -> None:
        with contextlib.suppress(OSError, RuntimeError):
            await sending

    task = asyncio.get_running_loop().create_task(send())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
