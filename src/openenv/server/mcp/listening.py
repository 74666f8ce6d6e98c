"""``subscriptions/listen`` of the sessionless revision: a stream that tells when a session's tools have changed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler, ServerEvent, ToolsListChanged
from mcp_types import SubscriptionsListenRequestParams

from openenv.errors import OpenEnvError, Overloaded
from openenv.runtime import Session
from openenv.server.core import ServerCore
from openenv.server.mcp.handlers import Context, caller_of
from openenv.server.mcp.hosted import held, keep
from openenv.server.mcp.results import refusal
from openenv.server.mcp.seat import LocalSeat, Seat

__all__ = ["Listening"]

MAX_STREAMS = 1024
"""Streams of a server at once."""


class _Bus:
    """A session's world as the SDK's handler sees it."""

    def __init__(self, session: Session | None) -> None:
        self._session = session

    async def publish(self, event: ServerEvent) -> None:
        """Nothing is published here: the world itself tells."""

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        session = self._session
        if session is None:
            return _nothing

        def changed() -> None:
            listener(ToolsListChanged())

        session.world.tool_listeners.add(changed)
        return lambda: session.world.tool_listeners.discard(changed)


class Listening:
    """The open streams of a server."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core
        self._open: set[ListenHandler] = set()
        self._watching = False

    def register(self, server: Server[Seat]) -> None:
        """Serve the method."""
        server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)

    def close(self) -> None:
        """End every stream, after its last event."""
        for handler in self._open:
            handler.close()

    async def _listen(self, ctx: Context, params: SubscriptionsListenRequestParams) -> Any:
        if len(self._open) >= MAX_STREAMS:
            raise refusal(Overloaded(f"{MAX_STREAMS} clients listen already", hint="Ask for the list now and then."))
        caller, seat = caller_of(ctx), ctx.lifespan_context
        session: Session | None = None
        if isinstance(seat, LocalSeat):
            try:
                named = await seat.session_of(caller)
                session = self._core.manager.session(named, caller.connection.principal) if named is not None else None
            except OpenEnvError as error:
                raise refusal(error) from None
        handler = ListenHandler(_Bus(session))
        self._open.add(handler)
        if not self._watching:
            self._watching = True
            keep(self._watch())
        try:
            if session is None:
                return await handler(ctx, params)
            session.watchers.add(_closing := lambda _: handler.close())
            try:
                with held(self._core.manager, session):
                    return await handler(ctx, params)
            finally:
                session.watchers.discard(_closing)
        finally:
            self._open.discard(handler)

    async def _watch(self) -> None:
        """End the streams when plain uvicorn leaves: it would wait for them, and tells an application only afterwards."""
        while self._open:
            await asyncio.sleep(0.5)
            if _leaving():
                self.close()
        self._watching = False


def _leaving() -> bool:
    """Whether uvicorn was told to end: its handler of signals is a method of its server."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True


def _nothing() -> None:
    return None
