"""``/ws`` and ``WS /mcp`` as plain ASGI: a frame in, a frame out, in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from openenv.errors import OpenEnvError
from openenv.operation import Connection, Operation, RequestContext
from openenv.protocol import OpenEnvCodec
from openenv.protocol.jsonrpc import rpc_refusal
from openenv.runtime import Session, SessionRequest
from openenv.server.conversation import DOOR, Conversation, DoorConversation, own_session_method
from openenv.server.core import ServerCore
from openenv.server.stall import Stall
from openenv.server.v2 import V2Socket

__all__ = ["McpSocket", "OpenEnvSocket", "SessionSocket", "WebSocketDoor"]

log = logging.getLogger("openenv.server")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class SessionSocket(ABC):
    """What every WebSocket route does alike: accept, seat, converse, leave."""

    transport = "websocket"
    attachable = False
    past_asgi = False
    """Whether a door may hand its frames over."""

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
            await _quietly(self._refuse(self.core.told(error, self.transport, scope), send))
            return
        door = scope.get("extensions", {}).get(DOOR) if self.past_asgi else None
        told = self.core, session, connection, context
        conversation = Conversation(*told, owned=owned) if door is None else DoorConversation(*told, door, owned=owned)
        try:
            is_open = await self.converse(conversation, scope, receive, send)
        finally:
            conversation.end()
        if is_open:
            await _quietly(send({"type": "websocket.close", "code": 1000}))

    async def seat(self, connection: Connection, context: RequestContext) -> tuple[Session, bool]:
        """The socket's session, and whether it is the socket's own. Raises `OpenEnvError`."""
        manager = self.core.manager
        named = connection.query.get("session_id")
        if named is not None and self.attachable:
            self.core.pipeline.check(self.core.operation(Operation("attach", session=named), connection, context))
            return manager.attach(named, connection.principal), False
        world = self.core.world_of(context)
        create = Operation("create", SessionRequest(kind="socket", world_name=world))
        result = await self.core.pipeline.run(self.core.operation(create, connection, context))
        if result.error is not None:
            raise result.error
        assert result.session is not None
        return manager.attach(result.session, connection.principal), True

    @abstractmethod
    async def converse(self, conversation: Conversation, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> bool:
        """Talk until one side closes; whether the socket is still to be closed."""

    async def _refuse(self, error: OpenEnvError, send: Send) -> None:
        await send({"type": "websocket.send", "text": self.refusal(error).decode()})
        await send({"type": "websocket.close", "code": 1000})

    @abstractmethod
    def refusal(self, error: OpenEnvError) -> bytes:
        """The frame that tells why there is no session."""


class FrameSocket(SessionSocket):
    """A route that answers frame by frame."""

    async def converse(self, conversation: Conversation, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> bool:
        """Answer frames until one side closes."""
        core, session = self.core, conversation.session
        answering = False

        def ended(_: str) -> None:
            if not answering:
                _in_background(send({"type": "websocket.close", "code": 1000}))

        session.on_end = ended
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return False
            answering = True
            try:
                with core.answering():  # but not for longer: a client that does not read is not waited for
                    reply = await self.answer(message.get("text"), conversation)
                if reply is not None:
                    async with asyncio.timeout(Stall.PATIENCE_S):
                        await send({"type": "websocket.send", "text": reply.decode()})
                if reply is None or session.ended is not None:
                    return True
            except (OSError, RuntimeError) as error:
                # The server's ASGI layer raises one of these when the client went away; or nothing was taken for too long.
                log.debug("the reply could not be sent: %s", error)
                return False
            finally:
                answering = False

    @abstractmethod
    async def answer(self, text: str | None, conversation: Conversation) -> bytes | None:
        """The reply to a frame; None to close the socket."""


class OpenEnvSocket(FrameSocket):
    """``/ws``: OpenEnv's dialect and the simple one."""

    attachable = True
    past_asgi = True

    async def converse(self, conversation: Conversation, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> bool:
        if not isinstance(conversation, DoorConversation):
            return await super().converse(conversation, scope, receive, send)
        conversation.begin()
        while (await receive())["type"] != "websocket.disconnect":
            log.debug("a frame came past the door")
        return conversation.farewell

    async def answer(self, text: str | None, conversation: Conversation) -> bytes | None:
        frame, result = conversation.understand(text)
        if conversation.is_farewell(frame):
            return None
        if result is None:
            result = await self.core.pipeline.run(frame.operation)
        return conversation.encode(frame, result)

    def refusal(self, error: OpenEnvError) -> bytes:
        return OpenEnvCodec.encode_error(error)


class WebSocketDoor:
    """``/ws``: protocol v2 for who offers its subprotocol, else the other dialects."""

    def __init__(self, core: ServerCore) -> None:
        self._v2 = V2Socket(core)
        self._others = OpenEnvSocket(core)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one socket."""
        encoding = self._v2.chosen(scope)
        if encoding is not None:
            await self._v2(encoding, scope, receive, send)
        else:
            await self._others(scope, receive, send)


class McpSocket(FrameSocket):
    """``WS /mcp``: bare JSON-RPC frames on a session of the socket's own."""

    transport = "mcp-websocket"

    async def answer(self, text: str | None, conversation: Conversation) -> bytes | None:
        core, session = self.core, conversation.session
        call = core.rpc_codec.decode(text if text is not None else "")
        ready = own_session_method(call, session)
        if ready is not None:
            return core.rpc_codec.encode(call, ready)
        operation = core.operation(call.to_run(), conversation.connection, conversation.context, len(text or ""))
        if operation.session is None:  # an empty name is nobody's
            operation.session = session.id
        return core.rpc_codec.encode(call, await core.pipeline.run(operation))

    def refusal(self, error: OpenEnvError) -> bytes:
        return rpc_refusal(None, error)


_closing: set[asyncio.Task[None]] = set()


async def _quietly(sending: Awaitable[None]) -> None:
    """Send to a client that may be gone already; then there is nobody to tell."""
    with contextlib.suppress(OSError, RuntimeError):
        await sending


def _in_background(sending: Awaitable[None]) -> None:
    task = asyncio.get_running_loop().create_task(_quietly(sending))
    _closing.add(task)
    task.add_done_callback(_closing.discard)
