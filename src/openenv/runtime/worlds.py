"""The worlds of a server: made, found by their names, closed. A shared world is known by (tenant, name)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from openenv.errors import Forbidden, OpenEnvError, Overloaded
from openenv.operation import Operation, Principal, RequestContext
from openenv.runtime.executors import ProcessPool, ThreadPool
from openenv.runtime.ids import SessionIds
from openenv.runtime.local_world import LocalWorld
from openenv.runtime.specification import EnvironmentSpecification
from openenv.runtime.worker_world import WorkerWorld
from openenv.runtime.world import World

__all__ = ["Worlds"]

log = logging.getLogger("openenv.runtime")


class Worlds:
    """Everything that was opened and has not ended.

    Args:
        specification: The environment's.
        pool: Threads for worlds of sessions; others have some of their own.
        workers: Where worlds are in processes.
        on_lost: Told of a world that nobody can use any more, and why.
    """

    def __init__(
        self,
        specification: EnvironmentSpecification,
        pool: ThreadPool,
        workers: ProcessPool | None,
        on_lost: Callable[[World, str], None],
    ) -> None:
        self.grading = ThreadPool(shared=2, hang_limit_s=pool.hang_limit_s)
        """Grading reads copies and may be slow: it takes no thread from environments."""
        self._specification = specification
        self._pool = pool
        self._workers = workers
        self._on_lost = on_lost
        self._named: dict[tuple[str, str], World] = {}
        self._open: set[World] = set()
        self._after_close: dict[World, list[Callable[[], None]]] = {}

    @property
    def busy(self) -> bool:
        """Whether something runs in one that is to go on."""
        return any(world.busy and world.closed is None for world in self._open)

    def new(self, name: str | None, owner: Principal, context: RequestContext) -> World:
        """A world that is not open yet."""
        world = self.made(self._pool, name, owner, context)
        world.on_lost = self._lost
        return world

    def made(self, pool: ThreadPool, name: str | None, owner: Principal, context: RequestContext) -> World:
        """The same on other threads, for a single request."""
        if self._workers is None:
            return LocalWorld(self._specification, pool, self.grading, name, owner, context)
        return WorkerWorld(self._specification, self._workers, name, owner, context)

    def named(self, name: str | None, operation: Operation, ids: SessionIds) -> tuple[World, bool]:
        """The world of this name, or a new one; and whether it is new. Context alone opens nobody else's world.

        Raises `Forbidden` for another owner's, `Overloaded` while another process is to have it.
        """
        principal = operation.principal
        if name is None:
            return self.new(None, principal, operation.context), True
        if not ids.keeps(name):
            raise Overloaded("the worker that keeps this world is being started anew", hint="Come back in a moment.")
        shared = self._named.get((principal.tenant, name))
        if shared is None:
            shared = self._named[(principal.tenant, name)] = self.new(name, principal, operation.context)
            return shared, True
        if shared.owner.id != principal.id:
            raise Forbidden(f"the world {name!r} belongs to somebody else", hint="Choose another name for a world of your own.")
        return shared, False

    def after_closing(self, name: str | None, tenant: str, then: Callable[[], None]) -> bool:
        """Call ``then`` once the world of this name, which is being closed, has ended; False where none is."""
        closing = self._named.get((tenant, name)) if name is not None else None
        if closing is None or closing.closed is None:
            return False
        self._after_close.setdefault(closing, []).append(then)
        return True

    def open(self, world: World, made: Callable[[OpenEnvError | None], None]) -> None:
        """Make its environment; `end_all` waits for what was opened."""
        self._open.add(world)
        world.open(made)

    def close(self, world: World, reason: str, done: Callable[[], None]) -> None:
        """End a world, after what runs in it."""

        def closed() -> None:
            self._gone(world)
            done()

        world.close(reason, closed)

    async def end_all(self, patience_s: float) -> None:
        """Wait until all have ended; what has not in time is given up."""
        deadline = asyncio.get_running_loop().time() + patience_s
        while self._open and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - once in a life
            await asyncio.sleep(0.005)
        if self._open:
            log.error("%d worlds did not end within %g s and are given up", len(self._open), patience_s)
            for world in list(self._open):
                world.give_up()
            self._open.clear()

    def _lost(self, world: World, reason: str) -> None:
        self._gone(world)
        self._on_lost(world, reason)

    def _gone(self, world: World) -> None:
        """The world has ended for good: its name is free for whoever waited for it."""
        self._open.discard(world)
        if world.name is not None and self._named.get((world.owner.tenant, world.name)) is world:
            del self._named[(world.owner.tenant, world.name)]
        for waiting in self._after_close.pop(world, ()):
            waiting()
