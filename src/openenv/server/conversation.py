"""A seated socket's frames, one after the other: what both ways into ``/ws`` share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from openenv.errors import ValidationFailed
from openenv.operation import Connection, Operation, RequestContext, Result
from openenv.protocol import OpenEnvCodec
from openenv.protocol.jsonrpc import INVALID_REQUEST, RpcCall, rpc_error
from openenv.protocol.socket import Frame
from openenv.runtime import Session
from openenv.server.core import ServerCore

if TYPE_CHECKING:
    from openenv.server.door import Door

__all__ = ["DOOR", "Conversation", "DoorConversation", "own_session_method"]

DOOR = "openenv.door"
"""The ASGI extension's name: the scope of a socket that came through a door has the door under it."""

_BINARY = ValidationFailed("frames are text, not binary", hint="Send the JSON as a text frame.", errors=[])


class Conversation:
    """Understands a socket's frames and encodes the answers.

    Args:
        core: The server.
        session: What is talked to.
        connection: Who talks, and over what.
        context: What every operation carries.
        owned: Whether the session is the socket's own, and ends with it.
    """

    def __init__(
        self, core: ServerCore, session: Session, connection: Connection, context: RequestContext, *, owned: bool
    ) -> None:
        self.core = core
        self.session = session
        self.connection = connection
        self.context = context
        self._owned = owned
        self._over = False
        self.encode: Callable[[Frame, Result], bytes] = core.socket_codec.encode

    def understand(self, text: str | None) -> tuple[Frame, Result | None]:
        """The frame's operation, and its result when there is nothing to run."""
        core = self.core
        frame = core.socket_codec.decode(text) if text is not None else Frame(Operation("invalid", _BINARY), OpenEnvCodec)
        operation = core.operation(frame.operation, self.connection, self.context, len(text or ""))
        if frame.call is None or frame.call.operation is None:
            operation.session = self.session.id
            return frame, None
        return frame, own_session_method(frame.call, self.session)

    def end(self) -> None:
        """Nobody talks any more: let go of the session. To be called before the client can see the connection closed, so
        that its place is being cleared when it comes again. The second time does nothing.
        """
        if self._over:
            return
        self._over = True
        self.session.on_end = None
        if self._owned:
            self.core.manager.end(self.session, "its socket closed")
        else:
            self.core.manager.detach(self.session)

    @staticmethod
    def is_farewell(frame: Frame) -> bool:
        """Whether the client asks to close."""
        return frame.operation.op == "close" and frame.call is None


class DoorConversation(Conversation):
    """Answers a door's frames: in the callback in which they came when the environment is inline, else when it is done."""

    WAITING_FRAMES = 32
    WAITING_CHARACTERS = 262_144
    """More than either is not read from the socket until some are answered."""
    SLOW_S = 1e-4
    """The answer to a longer step waits for no others in the outbox."""

    def __init__(
        self,
        core: ServerCore,
        session: Session,
        connection: Connection,
        context: RequestContext,
        door: Door,
        *,
        owned: bool,
    ) -> None:
        super().__init__(core, session, connection, context, owned=owned)
        self.answering = False
        """Whether an answer is owed."""
        self.farewell = False
        """Whether the socket is to be closed; the ASGI side does it."""
        self._door = door
        self._frame: Frame | None = None
        self._waiting: deque[str | None] = deque()
        self._size = 0

    def begin(self) -> None:
        """From now on the door's frames come here."""
        self.session.on_end = self._ended
        self._door.give(self)

    def _ended(self, _: str) -> None:
        if not self.answering:
            self.leave()

    def take(self, text: str | None) -> None:
        """Answer a frame, or keep it until its turn comes."""
        if self.answering or self._waiting or self._door.clogged:
            self._waiting.append(text)
            self._size += len(text or "")
            if len(self._waiting) >= self.WAITING_FRAMES or self._size >= self.WAITING_CHARACTERS:
                self._door.read(False)
            return
        self._begin(text)

    def flow(self) -> None:
        """Go on with what waits."""
        waiting = self._waiting
        while waiting and not self.answering and not self._door.clogged and not self.farewell:
            text = waiting.popleft()
            self._size -= len(text or "")
            self._begin(text)
        few = len(waiting) <= self.WAITING_FRAMES // 2 and self._size < self.WAITING_CHARACTERS
        if few and not self._door.clogged:
            self._door.read(True)

    def _begin(self, text: str | None) -> None:
        if self.farewell:
            return
        frame, result = self.understand(text)
        if result is None:
            if self.is_farewell(frame):
                self.leave()
                return
            self.answering = True
            self._frame = frame
            result = self.core.pipeline.submit(frame.operation, self._late)
            if result is None:
                self.core.replying += 1
                return
            self.answering = False
        self._answer(frame, result)

    def _late(self, result: Result) -> None:
        frame = self._frame
        assert frame is not None
        self.answering = False
        self.core.replying -= 1
        self._answer(frame, result)
        if self._waiting:
            self.flow()

    def _answer(self, frame: Frame, result: Result) -> None:
        # What a slow step has kept waiting is not to wait for another one.
        self._door.write(self.encode(frame, result), result.seconds > self.SLOW_S)
        if self.session.ended is not None:
            self.leave()

    def leave(self) -> None:
        """Wake the ASGI side, which closes the socket as it does without a door."""
        self.farewell = True
        self._waiting.clear()
        self._size = 0
        self._door.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})


def own_session_method(call: RpcCall, session: Session) -> Result | None:
    """``openenv/session/create`` on a socket names the socket's session; ``close`` cannot close it from within.

    Every other request is about the socket's session, whichever it names.
    """
    operation = call.operation
    if operation is None:
        return None
    if operation.op == "create":
        return Result(session=session.id)
    if operation.op != "close":
        operation.session = session.id
        return None
    if operation.session == session.id:
        text = "Cannot close active WebSocket-managed session via MCP method"
        call.answer = rpc_error(call.id, INVALID_REQUEST, text)
        return Result()
    return None
