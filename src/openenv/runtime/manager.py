"""Which sessions there are: creating, finding, sharing, closing. Everything runs on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from openenv.errors import (
    CapacityReached,
    Forbidden,
    OpenEnvError,
    SessionError,
    ShuttingDown,
    Unsupported,
)
from openenv.operation import LAST_KNOWN, Operation, Principal, Result
from openenv.runtime.executors import ProcessPool, ThreadPool
from openenv.runtime.forking import fork
from openenv.runtime.ids import SessionIds
from openenv.runtime.leases import Leases
from openenv.runtime.permission import permit
from openenv.runtime.room import Room
from openenv.runtime.session import Holder, Session, SessionRequest
from openenv.runtime.specification import EnvironmentSpecification
from openenv.runtime.stateless import AT_ONCE, Stateless
from openenv.runtime.tombstones import Tombstones
from openenv.runtime.world import Finish, World
from openenv.runtime.worlds import Worlds
from openenv.types import ToolListing

__all__ = ["SessionManager"]

EndListener = Callable[[Session, str], None]


class SessionManager:
    """Owns every session and world of a server."""

    def __init__(
        self,
        specification: EnvironmentSpecification,
        *,
        max_sessions: int = 10_000,
        lease_s: float | None = 900.0,
        pool: ThreadPool | None = None,
        stateless_pool: ThreadPool | None = None,
        workers: ProcessPool | None = None,
    ) -> None:
        limit = specification.environment_type.max_sessions
        self.specification = specification
        self._fixed_tools = specification.fixed_tools
        self.max_sessions = max_sessions if limit is None else min(limit, max_sessions)
        self.room = Room(self.max_sessions)
        self.ids = SessionIds()
        self.pool = pool or ThreadPool()
        self.stateless_pool = stateless_pool or self.pool.another()
        """For requests without a session: they take no thread from sessions either."""
        self.workers = workers or (ProcessPool(specification) if specification.in_process else None)
        """For an environment whose worlds are in processes."""
        self.worlds = Worlds(specification, self.pool, self.workers, self._world_lost)
        at_once = AT_ONCE if self.workers is None else min(AT_ONCE, self.workers.limit)
        self._stateless = Stateless(self._world_of_one, self.worlds.open, self.worlds.close, at_once=at_once)
        self.sessions: dict[str, Session] = {}
        self.draining = False
        self.on_end: EndListener | None = None
        """Told of every session that ends, with the reason; set by the pipeline."""
        self.close_elsewhere: Callable[[Operation, Finish], bool] | None = None
        """Has another process end its session; False where none has it. Set where the server has several."""
        self._implicit: dict[tuple[str, str, str], Session | list[Finish]] = {}
        self._tombstones = Tombstones(lease_s or 900.0)
        self.leases = Leases(lease_s, self.sessions, self.end)

    @property
    def active(self) -> int:
        """Sessions of every kind, with those still being made and those whose environment is still being closed."""
        return self.room.taken

    def step_now(self, operation: Operation) -> Result | None:
        """A step that is done at once, so that nobody has to wait for it; None, and nothing is done, for what `dispatch` is for.

        An inline environment's steps are the one kind of operation for which getting ready to wait costs as much as the rest.
        """
        session = self.sessions.get(operation.session or "")
        if operation.op != "step" or session is None or session.expires or self.draining:
            return None
        if not _may_use(operation.principal, session):
            return None
        try:
            permit(operation)
        except OpenEnvError as error:
            return Result(error=error)
        return session.world.step_now(operation)

    def dispatch(self, operation: Operation, finish: Finish) -> Result | None:
        """Carry an operation to its world; the convention is `World.submit`'s. Never raises `OpenEnvError`."""
        try:
            permit(operation)
            return self._dispatch(operation, finish)
        except OpenEnvError as error:
            return Result(error=error)

    def _dispatch(self, operation: Operation, finish: Finish) -> Result | None:
        op = operation.op
        if op == "step" and operation.session is not None and not self.draining:
            return self._submit(self.session(operation.session, operation.principal), operation, finish)
        if op == "invalid":
            return Result(error=operation.payload)
        if self.draining and op != "close":
            raise ShuttingDown("The server is shutting down", hint="Connect again in a moment.")
        if op == "create":
            return self._create(operation, finish)
        if op == "list_tools" and self._fixed_tools is not None:
            return self._list_tools(operation, self._fixed_tools)
        if op == "close":
            return self._close_asked(operation, finish)
        if operation.session is None:
            self._stateless.run(operation, finish)
            return None
        session = self.session(operation.session, operation.principal)
        if op == "fork":
            fork(self, session, operation, finish)
            return None
        if op == "state" and operation.payload == LAST_KNOWN:
            known = session.world.glance()
            if known is not None:
                return known
        return self._submit(session, operation, finish)

    def _submit(self, session: Session, operation: Operation, finish: Finish) -> Result | None:
        if not session.expires and self.specification.inline:
            return session.world.submit(operation, finish)

        def renewed(result: Result) -> None:
            if session.expires:
                self.leases.renew(session)
            finish(result)

        return session.world.submit(operation, renewed)

    def session(self, session_id: str, principal: Principal) -> Session:
        """The session, when this principal may use it. Raises `SessionError` as for one that does not exist."""
        found = self.sessions.get(session_id)
        if found is not None and _may_use(principal, found):
            if found.expires:
                self.leases.renew(found)
            return found
        reason = None if found is not None else self._tombstones.reason(session_id) or self.ids.fate(session_id)
        if reason is not None:
            raise SessionError(f"Session {session_id} has ended: {reason}", hint="Open a new one.")
        raise SessionError(f"Unknown session_id: {session_id[:80]}", hint="Open a session, or check the id.")

    def visible(self, principal: Principal) -> list[Session]:
        """The sessions that this principal may use."""
        return [session for session in self.sessions.values() if _may_use(principal, session)]

    def attach(self, session_id: str, principal: Principal, holder: Holder | None = None) -> Session:
        """Give a session to a socket, which holds it until it is detached or ended.

        A ``holder`` takes it from one of its kind. Raises `SessionError` where another socket has it.
        """
        session = self.session(session_id, principal)
        if session.holder is not None and holder is not None:
            session.holder.taken(session)
            session.attached = False
        if session.attached:
            raise SessionError(
                f"Session {session_id} already has an attached WebSocket", hint="Close that one, or open another session."
            )
        session.attached = True
        session.holder = holder
        session.expires = 0.0
        return session

    def detach(self, session: Session) -> None:
        """The socket is gone; the session lives on for its lease, unless somebody asked to close it meanwhile."""
        session.attached = False
        session.holder = None
        self.leases.renew(session)
        if session.close_when_detached and session.id in self.sessions:
            self.end(session, "closed by request")

    def end(self, session: Session, reason: str, finish: Callable[[], None] | None = None) -> None:
        """End a session now; its world closes with its last session, after the running operation."""
        done = finish or _nothing
        if self.sessions.pop(session.id, None) is None:
            done()
            return
        if session.key is not None:
            self._implicit.pop(session.key, None)
        session.ended = reason
        if session.on_end is not None:
            session.on_end(reason)
        for watcher in list(session.watchers):
            watcher(reason)
        self._tombstones.bury(session.id, reason, asyncio.get_running_loop().time())
        if self.on_end is not None:
            self.on_end(session, reason)
        world = session.world
        world.sessions.discard(session.id)
        if world.sessions:
            self.room.give_up()
            done()
            return
        self.room.closing_begins()

        def closed() -> None:
            self.room.closed()
            done()

        self.worlds.close(world, reason, closed)

    async def drain(self) -> None:
        """Take nothing new, and wait for what has begun."""
        self.draining = True
        while self.worlds.busy:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.01)

    def start(self) -> None:
        """Take sessions; again, after a `shutdown`."""
        self.draining = False
        if self.workers is not None:
            self.workers.start()

    async def shutdown(self, patience_s: float = 30.0) -> None:
        """End every session and world.

        Every environment's ``close`` has run when this returns, but for those that did not come back in time.
        """
        self.draining = True
        for session in list(self.sessions.values()):
            self.end(session, "the server shuts down")
        await self.worlds.end_all(patience_s)
        self.leases.stop()
        for pool in (self.pool, self.stateless_pool, self.worlds.grading):
            pool.close()
        if self.workers is not None:
            await self.workers.close()

    def _create(self, operation: Operation, finish: Finish) -> Result | None:
        request: SessionRequest = operation.payload or SessionRequest()
        key: tuple[str, str, str] | None = None
        if request.implicit and request.world_name is not None:
            key = (operation.principal.tenant, operation.principal.id, request.world_name)
            known = self._implicit.get(key)
            if isinstance(known, Session):
                return Result(session=known.id)
            if known is not None:
                known.append(finish)
                return None
        if operation.principal.session is not None:
            raise Forbidden("this token is bound to one session and cannot open another")
        if self.worlds.after_closing(request.world_name, operation.principal.tenant, lambda: self._again(operation, finish)):
            return None
        if not self.room.take() and self._waits_for_room(operation, finish):
            return None
        try:
            world, fresh = self.worlds.named(request.world_name, operation, self.ids)
        except OpenEnvError:
            self.room.give_up()
            raise
        session = Session(
            id=self.ids.new(),
            principal=operation.principal,
            context=operation.context,
            world=world,
            kind=request.kind,
            key=key,
            lease_s=request.lease_s,
        )
        world.sessions.add(session.id)
        if key is not None:
            self._implicit[key] = []

        def made(error: OpenEnvError | None) -> None:
            self._seat(session, error, finish)

        if fresh:
            self.worlds.open(world, made)
        else:
            world.when_open(made)
        return None

    def _waits_for_room(self, operation: Operation, finish: Finish) -> bool:
        """Wait for a place that is being given up; False where one is taken after all. Raises `CapacityReached`."""
        if self.room.wait(lambda: self._again(operation, finish), lambda: finish(Result(error=self.full()))):
            return True
        if not self.room.take():  # once more: another worker may have closed its last world just now
            raise self.full()
        return False

    def full(self) -> CapacityReached:
        """The refusal of who finds no place."""
        active, limit = self.room.taken_everywhere, self.max_sessions
        return CapacityReached(
            f"Server at capacity: {active}/{limit} sessions active. Cannot accept new connections.",
            details={"active_sessions": active, "max_sessions": limit},
        )

    def _seat(self, session: Session, error: OpenEnvError | None, finish: Finish) -> None:
        """The world is there, or it is not: tell everybody who waits for this session."""
        waiting = [finish]
        if session.key is not None:
            others = self._implicit.pop(session.key, None)
            waiting += others if isinstance(others, list) else []
        if error is None and self.draining:
            error = ShuttingDown("The server is shutting down", hint="Connect again in a moment.")
        if error is not None:
            self.room.give_up()
            world = session.world
            world.sessions.discard(session.id)
            if not world.sessions:
                self.worlds.close(world, error.message, _nothing)
            result = Result(error=error)
        else:
            if session.key is not None:
                self._implicit[session.key] = session
            self.seat(session)
            result = Result(session=session.id)
        for one in waiting:
            one(result)

    def seat(self, session: Session) -> None:
        """The session is there, for its lease, in the place that was taken for it."""
        self.sessions[session.id] = session
        session.world.sessions.add(session.id)
        self.leases.renew(session)

    def _again(self, operation: Operation, finish: Finish) -> None:
        result = self.dispatch(operation, finish)
        if result is not None:
            finish(result)

    def _world_lost(self, world: World, reason: str) -> None:
        for session_id in list(world.sessions):
            session = self.sessions.get(session_id)
            if session is not None:
                self.end(session, reason)

    def _close_asked(self, operation: Operation, finish: Finish) -> Result | None:
        if operation.session is None:
            raise SessionError("No session was named", hint="Name the session to close.")
        if self.close_elsewhere is not None and self.close_elsewhere(operation, finish):
            return None
        session = self.session(operation.session, operation.principal)
        if session.attached and session.kind == "free" and session.holder is None:
            session.close_when_detached = True
            return Result(value={"session_id": session.id, "closed": False, "closing": True})
        self.end(session, "closed by request", lambda: finish(Result(value={"session_id": session.id, "closed": True})))
        return None

    def _list_tools(self, operation: Operation, tools: Sequence[ToolListing]) -> Result:
        if operation.session is not None:
            self.session(operation.session, operation.principal)
        if not self.specification.has_tools:
            raise Unsupported("Environment does not support MCP", hint="It has no tools; use step.")
        return Result(value=tools)

    def _world_of_one(self, operation: Operation) -> World | None:
        """A world for a single request."""
        if self.draining:
            return None
        return self.worlds.made(self.stateless_pool, None, operation.principal, operation.context)


def _may_use(principal: Principal, session: Session) -> bool:
    if principal is session.principal and principal.session is None:
        return True
    if principal.session is not None:
        return principal.session == session.id and principal.tenant == session.principal.tenant
    return principal.id == session.principal.id and principal.tenant == session.principal.tenant


def _nothing(_: Any = None) -> None:
    return None
