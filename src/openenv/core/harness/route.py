"""``WS /harness``: a socket whose session's environment is an agent that one talks to (OpenEnv 0.10's RFC 005).

Its reset and its turns are operations like any other: they go through the pipeline to the world's mailbox.
"""

from __future__ import annotations

import asyncio
from typing import Any

from openenv.core.harness.conversation import harness_messages
from openenv.errors import Forbidden, OpenEnvError
from openenv.operation import REQUIRED_SCOPE, Connection, Operation, RequestContext, Result
from openenv.protocol import OpenEnvCodec
from openenv.protocol.json import dump
from openenv.runtime import Session
from openenv.server.conversation import Conversation
from openenv.server.websocket import SessionSocket

__all__ = ["HarnessSocket"]


class HarnessSocket(SessionSocket):
    """The route; refusals are told as on ``/ws``."""

    transport = "harness"

    async def seat(self, connection: Connection, context: RequestContext) -> tuple[Session, bool]:
        """As every socket's; nobody gets an agent who may not talk to it."""
        for operation in ("step", "reset"):
            scope = REQUIRED_SCOPE[operation]
            if scope not in connection.principal.scopes:
                raise Forbidden(f"a conversation needs the scope {scope!r}", hint="Ask the operator for a token that has it.")
        return await super().seat(connection, context)

    async def converse(self, conversation: Conversation, scope: Any, receive: Any, send: Any) -> bool:
        """Turns until one side ends it."""
        play = conversation.session.world.play
        assert play is not None
        guest: Any = play.environment
        session = conversation.session
        coming: asyncio.Future[Any] | None = None

        def ended(_: str) -> None:
            if coming is not None:
                coming.cancel()

        async def incoming() -> str | bytes | None:
            nonlocal coming
            if session.ended is not None:
                return None
            coming = message_to_come = asyncio.ensure_future(receive())
            try:
                message = await message_to_come
            except asyncio.CancelledError:
                if session.ended is None:
                    raise
                return None  # somebody else has ended the session, as when the client goes
            if message["type"] == "websocket.disconnect":
                conversation.end()  # now, and not when everybody has noticed: who comes next needs the place
                return None
            frame: str | bytes = message["bytes"] if message.get("text") is None else message["text"]
            return frame

        async def run(operation: Operation) -> Result:
            core = self.core
            operation.session = session.id
            core.replying += 1
            try:
                return await core.pipeline.run(core.operation(operation, conversation.connection, conversation.context))
            finally:
                core.replying -= 1

        async def outgoing(message: dict[str, Any]) -> None:
            await send({"type": "websocket.send", "text": dump(message).decode()})

        session.on_end = ended
        try:
            await harness_messages(
                lambda: run(Operation("reset")),
                lambda action, control: run(Operation("step", action, control=control)),
                incoming,
                outgoing,
                session_id=session.id,
                harness=guest.inner.adapter.config.name,
            )
        except (OSError, RuntimeError):
            return False  # the client went away while it was told something
        return True

    def refusal(self, error: OpenEnvError) -> bytes:
        """As on ``/ws``."""
        return OpenEnvCodec.encode_error(error)
