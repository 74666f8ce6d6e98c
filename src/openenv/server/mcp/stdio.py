"""Standard MCP over standard input and output: one client, one session, for the life of the process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from openenv.operation import Connection, Operation
from openenv.runtime import SessionRequest
from openenv.server.core import ServerCore
from openenv.server.mcp.caller import Caller
from openenv.server.mcp.handlers import initialization, make_server, server_of
from openenv.server.mcp.hosted import keep
from openenv.server.mcp.listening import Listening
from openenv.server.mcp.offers import register_offers
from openenv.server.mcp.remote import RemoteSeat
from openenv.server.mcp.seat import HandshakeSeat, KnownTools, Seat
from openenv.version import __version__

__all__ = ["serve_local", "serve_remote"]

TRANSPORT = "mcp-stdio"


async def serve_local(core: ServerCore, headers: Mapping[str, str]) -> None:
    """Play an environment of this process for the client at the other end, until it or a signal ends that.

    Args:
        core: The environment's server, which listens nowhere.
        headers: The context: those that the environment declares.

    Raises:
        OpenEnvError: no environment could be made.
    """
    connection = Connection(TRANSPORT, headers, {})
    core.pipeline.admit(connection)
    caller = Caller(connection, core.context(connection))
    core.manager.start()
    try:
        world = core.world_of(caller.context)
        create = Operation("create", SessionRequest(kind="socket", world_name=world))
        result = await core.pipeline.run(core.operation(create, connection, caller.context))
        if result.error is not None:
            raise result.error
        assert result.session is not None
        session = core.manager.attach(result.session, connection.principal)
        known = KnownTools(core)
        seat = HandshakeSeat(core, known, session, caller)

        def changed() -> None:
            if seat.told is not None:
                keep(seat.told())

        session.world.tool_listeners.add(changed)
        server = server_of(core, known, _handing(seat))
        register_offers(server, core.specification.environment_type)
        Listening(core).register(server)
        await _serve(server, core.shutdown)
    finally:
        await core.shutdown()


async def serve_remote(url: str, headers: Mapping[str, str]) -> None:
    """Play in a session of a running server, over OpenEnv's protocol, which every OpenEnv server speaks.

    Raises:
        ConnectionFailed, ServerError: there is no such server, or it takes nobody in.
    """
    seat = RemoteSeat(url, headers)
    async with seat.client:
        await seat.client.listed()
        name = url.rstrip("/").rpartition("/")[2]
        described = f"The environment at {url}"
        server = make_server(name, __version__, described, schema_of=None, fixed=False, lifespan=_handing(seat))
        await _serve(server, seat.client.close)


async def _serve(server: Server[Seat], end: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Until the client closes its end, or a signal: then ``end`` is all that is left to do."""
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(sig, _begin_to_leave, sig, end)
    async with stdio_server() as (read, write):
        await server.run(read, write, initialization(server))


def _begin_to_leave(number: int, end: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    keep(_leave(number, end))


async def _leave(number: int, end: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """The thread that reads standard input cannot be woken, and Python would wait for it."""
    await end()
    sys.stderr.flush()
    os._exit(128 + number)


def _handing(seat: Seat) -> Callable[[Any], AbstractAsyncContextManager[Seat]]:
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[Seat]:
        yield seat

    return lifespan
