"""Where the operations of an MCP connection go: to the pipeline of this process, or to another server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from openenv.errors import SessionError
from openenv.operation import Operation, Result
from openenv.runtime import Session
from openenv.runtime.world import World
from openenv.server.core import ServerCore
from openenv.server.mcp.caller import Caller
from openenv.tools import ToolEnvironment, ToolRegistry
from openenv.types import ToolListing

__all__ = ["HandshakeSeat", "KnownTools", "LocalSeat", "Seat", "SessionlessSeat"]


class Seat(ABC):
    """Who plays for a connection."""

    level: str = "debug"
    """The least level of log notices that the client wants, by ``logging/setLevel``."""
    caller: Caller | None = None
    """Who sends every message, on a transport that has one caller."""
    told: Callable[[], Coroutine[Any, Any, None]] | None = None
    """Tells the client that the tools have changed, once it has seen them; where the transport cannot do it itself."""

    @abstractmethod
    async def list_tools(self, caller: Caller) -> Sequence[ToolListing]:
        """The tools that there are for this caller. Raises `OpenEnvError`."""

    @abstractmethod
    async def call_tool(self, operation: Operation, caller: Caller) -> tuple[Result, ToolListing | None, str | None]:
        """Do a ``call_tool`` operation: what came of it, the tool's listing, and the session it was done in.

        Raises `OpenEnvError` where there is nothing to do it in.
        """


class KnownTools:
    """The tools of each world: asked for when somebody calls one, and again when they have changed."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core
        self._fixed: Mapping[str, ToolListing] | None = None
        fixed = core.specification.fixed_tools
        if fixed is not None:
            self._fixed = {listing.name: listing for listing in fixed}
        kind = core.specification.environment_type
        self._registry = kind.tools if issubclass(kind, ToolEnvironment) else ToolRegistry(())
        self._worlds: WeakKeyDictionary[World, dict[str, ToolListing]] = WeakKeyDictionary()

    @property
    def are_fixed(self) -> bool:
        """Whether every instance has the same tools."""
        return self._fixed is not None

    def fixed(self, name: str) -> ToolListing | None:
        """A tool that every instance has, by its name or an alias."""
        if self._fixed is None:
            return None
        found = self._registry.find(name)
        return self._fixed.get(found.name if found is not None else name)

    async def find(self, name: str, caller: Caller, world: World | None, session: str | None) -> ToolListing | None:
        """The listing of a tool, if there is such a tool."""
        if self._fixed is not None:
            return self.fixed(name)
        known = self._worlds.get(world) if world is not None else None
        if known is None:
            result = await _run(self._core, Operation("list_tools", session=session), caller)
            known = {listing.name: listing for listing in result.value or ()} if result.error is None else {}
            if world is not None and result.error is None:
                self._keep(world, known)
        return known.get(name)

    def _keep(self, world: World, known: dict[str, ToolListing]) -> None:
        def forget() -> None:
            self._worlds.pop(world, None)
            world.tool_listeners.discard(forget)

        self._worlds[world] = known
        world.tool_listeners.add(forget)


class LocalSeat(Seat):
    """What seats of this process have in common."""

    def __init__(self, core: ServerCore, known: KnownTools) -> None:
        self.core = core
        self.known = known

    @abstractmethod
    async def session_of(self, caller: Caller) -> str | None:
        """The session that the caller means, or None. Raises `OpenEnvError`."""

    async def list_tools(self, caller: Caller) -> Sequence[ToolListing]:
        if not self.core.specification.has_tools:
            return ()
        session = caller.session if self.known.are_fixed else await self.session_of(caller)
        result = await _run(self.core, Operation("list_tools", session=session), caller)
        if result.error is not None:
            raise result.error
        listed: Sequence[ToolListing] = result.value
        return listed

    async def call_tool(self, operation: Operation, caller: Caller) -> tuple[Result, ToolListing | None, str | None]:
        session = await self.session_of(caller)
        held = self.core.manager.session(session, caller.connection.principal) if session is not None else None
        name = operation.payload[0]
        listing = await self.known.find(name, caller, held.world if held else None, session)
        if session is None and listing is not None and not _is_read_only(listing):
            raise SessionError(
                f"{name!r} may change something, and this request names no session to change: open one with POST /sessions "
                "and call at /sessions/{session_id}/mcp, or begin with initialize, or send X-Session-ID",
                hint="POST /sessions answers with the session_id.",
            )
        operation.session = session
        return await _run(self.core, operation, caller), listing, session

    async def ask(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Any:
        operation = Operation("ask", (name, arguments), session=await self.session_of(caller))
        result = await _run(self.core, operation, caller)
        if result.error is not None:
            raise result.error
        return result.value


class HandshakeSeat(LocalSeat):
    """The seat of a client that shook hands, or that owns this process: one session."""

    def __init__(self, core: ServerCore, known: KnownTools, session: Session, caller: Caller | None = None) -> None:
        super().__init__(core, known)
        self.session = session
        self.caller = caller

    async def session_of(self, caller: Caller) -> str | None:
        return self.session.id


class SessionlessSeat(LocalSeat):
    """For requests that each name their session, or none: by the URL, by ``X-Session-ID``, by their world's name."""

    async def session_of(self, caller: Caller) -> str | None:
        if caller.session is not None:
            return caller.session
        return await self.core.session_for(caller.connection, caller.context)


async def _run(core: ServerCore, operation: Operation, caller: Caller) -> Result:
    return await core.pipeline.run(core.operation(operation, caller.connection, caller.context, caller.size))


def _is_read_only(listing: ToolListing) -> bool:
    if listing.annotations is not None:
        return listing.annotations.get("readOnlyHint") is True
    return listing.read_only
