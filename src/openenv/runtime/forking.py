"""Forks: sessions whose worlds are copies of one that lives.

The parent is copied once, on its lane, between two of its operations; each copy is put into a world of its own. All of the
sessions come into being, or none.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from openenv.errors import Forbidden, OpenEnvError, ShuttingDown
from openenv.operation import Operation, OpName, Result
from openenv.runtime.session import ForkRequest, Session

if TYPE_CHECKING:
    from openenv.runtime.manager import SessionManager
    from openenv.runtime.world import Finish, World

__all__ = ["fork"]


def fork(manager: SessionManager, parent: Session, operation: Operation, finish: Finish) -> None:
    """Do a ``fork`` operation: ``finish`` gets the ids of the new sessions, or why there are none.

    Raises `CapacityReached` when there is no room for all, `Forbidden` for a token that is bound to the parent.
    """
    request: ForkRequest = operation.payload
    if operation.principal.session is not None:
        raise Forbidden("this token is bound to one session and cannot open another")
    if not manager.room.take(len(request.seeds)):
        raise manager.full()
    _Fork(manager, parent, operation, finish).begin()


class _Fork:
    def __init__(self, manager: SessionManager, parent: Session, operation: Operation, finish: Finish) -> None:
        self._manager = manager
        self._parent = parent
        self._operation = operation
        self._request: ForkRequest = operation.payload
        self._finish = finish
        self._worlds: list[World] = []
        self._left = len(self._request.seeds)
        self._error: OpenEnvError | None = None

    def begin(self) -> None:
        snapshot = self._step("snapshot", None)
        result = self._parent.world.submit(snapshot, self._copied)
        if result is not None:
            self._copied(result)

    def _copied(self, result: Result) -> None:
        manager, parent = self._manager, self._parent
        if result.error is None and manager.draining:
            result.error = ShuttingDown("The server is shutting down", hint="Connect again in a moment.")
        if result.error is not None:
            for _ in self._request.seeds:
                manager.room.give_up()
            self._finish(Result(error=result.error))
            return
        for seed in self._request.seeds:
            world = manager.worlds.new(None, self._operation.principal, parent.world.context)
            self._worlds.append(world)
            manager.worlds.open(world, partial(self._opened, world, (result.value, seed)))

    def _opened(self, world: World, payload: tuple[bytes, int | None], error: OpenEnvError | None) -> None:
        if error is not None:
            self._ended(Result(error=error))
            return
        result = world.submit(self._step("restore", payload), self._ended)
        if result is not None:
            self._ended(result)

    def _step(self, op: OpName, payload: object) -> Operation:
        asked = self._operation
        return Operation(op, payload, principal=asked.principal, context=asked.context, transport=asked.transport)

    def _ended(self, result: Result) -> None:
        """One of the copies is there, or it is not."""
        self._left -= 1
        self._error = self._error or result.error
        if self._left:
            return
        manager = self._manager
        if self._error is None and manager.draining:
            self._error = ShuttingDown("The server is shutting down", hint="Connect again in a moment.")
        if self._error is not None:
            for world in self._worlds:
                manager.room.closing_begins()
                manager.worlds.close(world, f"a fork failed: {self._error.message}", manager.room.closed)
            self._finish(Result(error=self._error))
            return
        self._finish(Result(value=[self._seat(world) for world in self._worlds]))

    def _seat(self, world: World) -> str:
        manager, parent = self._manager, self._parent
        session = Session(
            id=manager.ids.new(),
            principal=self._operation.principal,
            context=parent.context,
            world=world,
            kind="free",
            lease_s=self._request.lease_s,
            parent=parent.id,
        )
        manager.seat(session)
        return session.id
