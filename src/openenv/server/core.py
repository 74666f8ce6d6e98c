"""What every door of a server shares: the pipeline, the environment's specification, and who is connected."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from openenv.errors import ExecutionFailed, OpenEnvError
from openenv.operation import Connection, Operation, RequestContext
from openenv.protocol import JsonRpcCodec, SocketCodec
from openenv.runtime import EnvironmentSpecification, Pipeline, SessionManager, SessionRequest
from openenv.runtime.raised import text_of
from openenv.server.guard import Guard

if TYPE_CHECKING:
    from openenv.server.workers.siblings import Siblings

__all__ = ["ServerCore"]

_CONNECTION = "openenv.connection"
"""The key of an ASGI scope that has the `Connection` of its request."""
_LONGEST_REQUEST_ID = 128
CLOSING_S = 2.0
"""What every environment's ``close`` gets at least, where hanging work has used up the time for the shutdown."""

log = logging.getLogger("openenv.server")


@dataclass(slots=True)
class ServerCore:
    """One environment being served. ``app.state.openenv`` holds it."""

    specification: EnvironmentSpecification
    manager: SessionManager
    pipeline: Pipeline
    socket_codec: SocketCodec
    rpc_codec: JsonRpcCodec = field(default_factory=JsonRpcCodec)
    simulation: bool = True
    """Whether HTTP has ``/reset``, ``/step`` and ``/state``; OpenEnv's mode ``production`` has not."""
    lists_for_strangers: bool = True
    """Whether a caller without a name sees the sessions of everybody without one. To OpenEnv 0.10 an id is a secret."""
    max_body_bytes: int = 16 * 1024 * 1024
    guard: Guard = field(default_factory=Guard)
    max_frame_bytes: int = 16 * 1024 * 1024
    """The longest WebSocket frame that the server underneath takes."""
    resume_lease_s: float = 60.0
    """How long a v2 session lives without a connection."""
    snapshot_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Signs the snapshots that leave the server."""
    opened: Callable[[tuple[str, str, str]], bool] | None = None
    """Whether sessions were opened here by a tenant's caller with a key of its choice; other workers ask."""
    on_drain: set[Callable[[], None]] = field(default_factory=set)
    """Called when the server takes nothing new any more, while what has begun goes on."""
    on_shutdown: list[Callable[[], None]] = field(default_factory=list)
    """Called when the server takes nothing new any more: what streams without an end has to end now."""
    replying: int = 0
    """Sockets that have an answer to send which is not sent yet."""
    deadline: float | None = None
    """By the event loop's clock: when the shutdown that has begun is to be over."""
    gave_up: bool = False
    """Whether something that ran did not end in the time for the shutdown."""
    siblings: Siblings | None = None
    """The other workers, where the server has more than one."""

    def connection(self, transport: str, scope: MutableMapping[str, Any]) -> Connection:
        """What is known of a socket or request from its ASGI scope, once every middleware has let it in.

        Raises what the middleware raises, and `Forbidden` for a browser's request with a wrong host or origin.
        """
        connection = scope[_CONNECTION] = _caller(transport, scope)
        try:
            self.guard.check(connection.headers, scope.get("server"))
        except OpenEnvError as error:
            raise self.pipeline.refuse(connection, error) from None
        self.pipeline.admit(connection)
        return connection

    def told(self, error: OpenEnvError, transport: str, scope: Mapping[str, Any]) -> OpenEnvError:
        """The error to answer with, once the middleware has seen it: what was refused outside the pipeline is counted too."""
        if error.told:
            return error
        return self.pipeline.refuse(scope.get(_CONNECTION) or _caller(transport, scope), error)

    def context(self, connection: Connection) -> RequestContext:
        """The declared headers and the query string: all of a connection that an environment may see."""
        declared = self.specification.environment_type.context_headers
        known = {name: connection.headers[name] for name in declared if name in connection.headers}
        return RequestContext(headers=known, query=connection.query)

    def operation(self, operation: Operation, connection: Connection, context: RequestContext, size: int = 0) -> Operation:
        """The operation with who asks and how."""
        operation.principal = connection.principal
        operation.context = context
        operation.transport = connection.transport
        operation.size = size
        if operation.id is None:
            operation.id = connection.request_id
        operation.trace = connection.trace
        return operation

    async def refuse(self, error: OpenEnvError, connection: Connection, context: RequestContext) -> NoReturn:
        """Pass what cannot be understood through the pipeline, so that it is counted and logged, then raise it."""
        result = await self.pipeline.run(self.operation(Operation("invalid", error), connection, context))
        raise result.error or error

    def world_of(self, context: RequestContext) -> str | None:
        """The name of the shared world that a caller asks for, or None. Raises what the environment refuses it with."""
        try:
            return self.specification.environment_type.world_name(context)
        except OpenEnvError:
            raise
        except Exception as error:
            log.exception("%s raised in world_name", self.specification.name)
            raise ExecutionFailed(text_of(error)) from error

    async def session_for(self, connection: Connection, context: RequestContext) -> str | None:
        """The session that an HTTP request means: by ``X-Session-ID``, by its world's name, or none.

        A world's name opens the caller's own session of that world when there is none yet. Raises why it cannot be opened.
        """
        named = connection.headers.get("x-session-id")
        if named is not None:
            return named
        world = self.world_of(context)
        if world is None:
            return None
        create = Operation("create", SessionRequest(world_name=world, implicit=True))
        result = await self.pipeline.run(self.operation(create, connection, context))
        if result.error is not None:
            raise result.error
        return result.session

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A server that goes down waits for the answer."""
        self.replying += 1
        try:
            yield
        finally:
            self.replying -= 1

    async def drain(self, *, patience_s: float = 30.0) -> None:
        """Take nothing new, let what has begun end, and send every answer, as long as that takes less than this.

        What is left of this time is `shutdown`'s.
        """
        self.deadline = asyncio.get_running_loop().time() + patience_s

        for tell in list(self.on_drain):
            tell()

        async def quiet() -> None:
            await self.manager.drain()
            while self.replying:  # noqa: ASYNC110 - once in a life
                await asyncio.sleep(0.005)

        try:
            await asyncio.wait_for(quiet(), max(patience_s, 0.05))  # with 0 it would not even look
        except TimeoutError:
            self.gave_up = True
            log.error("what runs did not end within %g s; it is given up", patience_s)
        finally:
            self._end_streams()

    def _end_streams(self) -> None:
        for end in self.on_shutdown:
            end()

    async def shutdown(self) -> None:
        """End every session; every environment is closed when this returns, but for those that hang."""
        self._end_streams()
        await self.manager.shutdown(self.left_s(at_least=CLOSING_S))

    def left_s(self, *, at_least: float = 0.0) -> float:
        """Seconds until the shutdown is to be over; 30 where nobody drained."""
        if self.deadline is None:
            return 30.0
        return max(at_least, self.deadline - asyncio.get_running_loop().time())

    def names(self) -> Iterable[str]:
        """The environments served here."""
        return (self.specification.name,)


def _caller(transport: str, scope: Mapping[str, Any]) -> Connection:
    """Who is at the other end, before anybody is asked whether it may come in."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        known = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        # Two identities are none: the middleware sees both, and nothing between here and there picked one.
        headers[known] = f"{headers[known]}, {text}" if known == "authorization" and known in headers else text
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    client = scope.get("client")
    request_id = headers.get("x-request-id")
    return Connection(
        transport,
        headers,
        query,
        client=client[0] if client else None,
        request_id=request_id[:_LONGEST_REQUEST_ID] if request_id else None,
    )
