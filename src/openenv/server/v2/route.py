"""The door of protocol v2: the choice of an encoding, the hello, and the way in for frames."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from openenv.errors import OpenEnvError
from openenv.operation import Operation
from openenv.protocol import messagepack
from openenv.protocol.v2 import MOST_ENTRIES
from openenv.protocol.v2_answers import ENCODINGS, Encoding
from openenv.runtime.ledger import Ledger
from openenv.server.conversation import DOOR
from openenv.server.core import ServerCore
from openenv.server.moving import SIBLING
from openenv.server.v2.connection import IN_FLIGHT, V2Connection
from openenv.server.v2.line import AsgiLine, DoorLine
from openenv.server.v2.relaying import Relays
from openenv.server.v2.shared import V2Shared
from openenv.version import __version__

__all__ = ["V2Socket"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class V2Socket:
    """A WebSocket that offered the subprotocol."""

    transport = "v2"

    def __init__(self, core: ServerCore) -> None:
        self.core = core
        self.shared = V2Shared(core)

    @staticmethod
    def chosen(scope: MutableMapping[str, Any]) -> Encoding | None:
        """The encoding that the client likes best of those that there are; None for a client of another dialect."""
        for offered in scope.get("subprotocols", ()):
            encoding = ENCODINGS.get(offered)
            if encoding is not None and (messagepack.available() or not encoding.binary):
                return encoding
        return None

    async def __call__(self, encoding: Encoding, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()
        await send({"type": "websocket.accept", "subprotocol": encoding.name})
        try:
            connection = self.core.connection(self.transport, scope)
            context = self.core.context(connection)
        except OpenEnvError as error:
            await self._refuse(error, encoding, scope, send)
            return
        door = scope.get("extensions", {}).get(DOOR)
        past_asgi = DoorLine(door, send, binary=encoding.binary) if door is not None else None
        line = past_asgi or AsgiLine(send, binary=encoding.binary)
        talk = V2Connection(self.shared, connection, context, encoding, line)
        if self.core.siblings is not None:
            talk.is_relayed = SIBLING in scope.get("extensions", {})
            talk.relays = Relays(talk, scope)
        try:
            try:
                named = connection.query.get("session_id")
                if named is not None:
                    self.core.pipeline.check(talk.operation(Operation("attach", session=named)))
                    talk.hold(named)
            except OpenEnvError as error:
                await self._refuse(error, encoding, scope, send)
                return
            talk.write(encoding.event("hello", None, self._hello(encoding, named), 0))
            await self._converse(talk, line, encoding, receive)
        finally:
            talk.end()
            if isinstance(line, AsgiLine):
                line.end()

    @staticmethod
    async def _converse(talk: V2Connection, line: DoorLine | AsgiLine, encoding: Encoding, receive: Receive) -> None:
        """Hand over frames until one side closes; past ASGI the door does it."""
        line.begin(talk)
        while (message := await receive())["type"] != "websocket.disconnect":
            talk.take(message.get("bytes" if encoding.binary else "text"))
            if isinstance(line, AsgiLine):
                await line.may_read()
                if talk.lost:  # it does not read, and so may never be gone
                    return

    def _hello(self, encoding: Encoding, session: str | None) -> dict[str, Any]:
        core = self.core
        kind = core.specification.environment_type
        capabilities = ["snapshots"] if _has_snapshots(kind) else []
        if core.specification.has_tools:
            capabilities.append("tools")
        return {
            "protocol": encoding.name,
            "server": __version__,
            "environment": core.specification.name,
            "connection": str(uuid.uuid4()),
            "session": session,
            "capabilities": capabilities,
            "limits": {
                "frame_bytes": core.max_frame_bytes,
                "in_flight": IN_FLIGHT,
                "batch": MOST_ENTRIES,
                "per_session": Ledger.MOST,
                "lease_s": core.resume_lease_s,
            },
        }

    async def _refuse(self, error: OpenEnvError, encoding: Encoding, scope: MutableMapping[str, Any], send: Send) -> None:
        told = self.core.told(error, self.transport, scope)
        frame = encoding.frame(None, None, encoding.error(told))
        with contextlib.suppress(OSError, RuntimeError):  # the client may be gone already; then there is nobody to tell
            await send({"type": "websocket.send", **({"bytes": frame} if encoding.binary else {"text": frame.decode()})})
            await send({"type": "websocket.close", "code": 1008, "reason": told.code})


def _has_snapshots(kind: type) -> bool:
    return all(hasattr(kind, name) for name in ("snapshot_version", "snapshot", "restore", "reseed"))
