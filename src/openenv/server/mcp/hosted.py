"""A client that shook hands: the SDK's transport for it, and the environment session that its id points to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from fastapi import Response
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_connection
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv.runtime import Session, SessionManager
from openenv.server.core import ServerCore
from openenv.server.mcp.handlers import initialization
from openenv.server.mcp.seat import Seat
from openenv.server.mcp.store import LastEvents

__all__ = ["Handed", "HostedSession", "held", "keep"]

log = logging.getLogger("openenv.server")

RETRY_MS = 1000
"""After how long a client that lost a stream may come back for it."""
_tasks: set[asyncio.Task[Any]] = set()


class Handed(Response):
    """A response that an ASGI application writes, given the body that was read already."""

    def __init__(self, app: ASGIApp, raw: bytes) -> None:
        super().__init__()
        self._app = app
        self._raw = raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: deque[Message] = deque([{"type": "http.request", "body": self._raw, "more_body": False}])

        async def again() -> Message:
            return body.popleft() if body else await receive()

        await self._app(scope, again, send)


class HostedSession:
    """One handshake.

    Args:
        session: The environment session.
        owned: Whether it was made for this client and ends with it.
        on_end: Told when the client's session has ended, whoever ended it.
    """

    def __init__(
        self,
        session_id: str,
        session: Session,
        core: ServerCore,
        *,
        owned: bool,
        on_end: Callable[[HostedSession], None],
    ) -> None:
        self.id = session_id
        self.session = session
        self.owned = owned
        self.ended = False
        self._core = core
        self._on_end = on_end
        self._transport = StreamableHTTPServerTransport(session_id, event_store=LastEvents(), retry_interval=RETRY_MS)
        self._connection: Connection | None = None
        self._telling = False
        self._answering = 0
        """Messages that the SDK is not done with: some are answered before it has taken them in."""
        session.watchers.add(self._session_ended)
        session.world.tool_listeners.add(self._tools_changed)

    async def start(self, server: Server[Seat], seat: Seat) -> None:
        """Begin to serve; returns when requests can be handled."""
        ready = asyncio.Event()
        keep(self._serve(server, seat, ready))
        await ready.wait()

    def response(self, raw: bytes) -> Response:
        """The answer to a request, by the SDK's transport; to a message also when the session ends meanwhile."""
        is_message = bool(raw)
        self._answering += is_message
        return Handed(partial(self._handle, is_message), raw)

    def end(self) -> None:
        """Close every stream; later requests are refused."""
        if self.ended:
            return
        self.ended = True
        self.session.watchers.discard(self._session_ended)
        self.session.world.tool_listeners.discard(self._tools_changed)
        self._on_end(self)
        keep(self._terminate())

    async def _handle(self, is_message: bool, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._core.answering() if is_message else held(self._core.manager, self.session):
                await self._transport.handle_request(scope, receive, send)
        finally:
            self._answering -= is_message

    async def _terminate(self) -> None:
        """End the SDK's transport, once it is done with the messages that it has; but for one that takes long."""
        for _ in range(100):
            if not self._answering:
                break
            await asyncio.sleep(0.01)
        await self._transport.terminate()

    async def _serve(self, server: Server[Seat], seat: Seat, ready: asyncio.Event) -> None:
        try:
            async with self._transport.connect() as (read, write):
                dispatcher: JSONRPCDispatcher[TransportContext] = JSONRPCDispatcher(
                    read, write, inline_methods=frozenset({"initialize"})
                )
                self._connection = Connection.for_loop(dispatcher, session_id=self.id)
                ready.set()
                await serve_connection(
                    server, dispatcher, connection=self._connection, lifespan_state=seat, init_options=initialization(server)
                )
        except Exception:
            log.exception("the MCP session %s broke", self.id)
        finally:
            ready.set()
            self.end()

    def _session_ended(self, _: str) -> None:
        self.end()

    def _tools_changed(self) -> None:
        connection = self._connection
        if connection is None or not connection.initialize_accepted or self._telling:
            return
        self._telling = True
        keep(self._tell(connection))

    async def _tell(self, connection: Connection) -> None:
        self._telling = False
        await connection.notify("notifications/tools/list_changed", None)


@contextlib.contextmanager
def held(manager: SessionManager, session: Session) -> Iterator[None]:
    """A session is not given up while somebody listens to it: its lease begins anew, again and again."""
    lease = manager.leases.lease_s
    if lease is None:
        yield
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def renew() -> None:
        nonlocal timer
        if session.id in manager.sessions and not session.attached and session.kind == "free":
            manager.leases.renew(session)
        timer = loop.call_later(lease / 3, renew)

    renew()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def keep(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Run it in a task, and hold that until it ends: the loop itself keeps only a weak reference."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
