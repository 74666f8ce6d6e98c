"""``WS /harness``: a socket whose session's environment is an agent that one talks to (OpenEnv 0.10's RFC 005)."""

from __future__ import annotations

from typing import Any

from openenv.core.harness.conversation import harness_messages
from openenv.errors import OpenEnvError
from openenv.protocol import OpenEnvCodec
from openenv.protocol.json import dump
from openenv.server.conversation import Conversation
from openenv.server.websocket import SessionSocket

__all__ = ["HarnessSocket"]


class HarnessSocket(SessionSocket):
    """The route; refusals are told as on ``/ws``."""

    transport = "harness"

    async def converse(self, conversation: Conversation, scope: Any, receive: Any, send: Any) -> None:
        """Turns until one side ends it."""
        play = conversation.session.world.play
        assert play is not None
        guest: Any = play.environment

        async def incoming() -> str | bytes | None:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return None
            frame: str | bytes = message["bytes"] if message.get("text") is None else message["text"]
            return frame

        async def outgoing(message: dict[str, Any]) -> None:
            await send({"type": "websocket.send", "text": dump(message).decode()})

        try:
            await harness_messages(guest.inner, incoming, outgoing, session_id=conversation.session.id)
            await send({"type": "websocket.close", "code": 1000})
        except (OSError, RuntimeError):
            return  # the client went away while it was told something

    def refusal(self, error: OpenEnvError) -> bytes:
        """As on ``/ws``."""
        return OpenEnvCodec.encode_error(error)
