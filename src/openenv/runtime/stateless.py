"""Operations that belong to no session: each has a world of its own, closed again after it.

They have threads and places of their own, so that however many there are and however long they take, sessions do not
wait for them. So many are done at once; the next wait in order, and more than that are refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from openenv.errors import Forbidden, OpenEnvError, Overloaded, SessionError, ShuttingDown
from openenv.operation import Operation, Result
from openenv.runtime.world import Finish, World

__all__ = ["AT_ONCE", "Stateless"]

AT_ONCE = 32
"""Worlds of single requests at once, as many as OpenEnv's server has threads for them."""
WAITING = 256
"""Requests that wait for one of those to be closed."""

WITHOUT_SESSION = frozenset({"reset", "step", "state", "list_tools", "call_tool", "ask"})
"""Operations that may go to a world of their own."""


class Stateless:
    """Carries single requests to worlds that the manager makes, opens and closes; used on the event loop."""

    def __init__(
        self,
        make: Callable[[Operation], World | None],
        open_world: Callable[[World, Callable[[OpenEnvError | None], None]], None],
        close_world: Callable[[World, str, Callable[[], None]], None],
        *,
        at_once: int = AT_ONCE,
        waiting: int = WAITING,
    ) -> None:
        self.at_once = at_once
        self.waiting_limit = waiting
        self.taken = 0
        self._make = make
        """None is returned where nothing new is taken any more."""
        self._open = open_world
        self._close = close_world
        self._waiting: deque[tuple[Operation, Finish]] = deque()
        self._beginning = False

    def run(self, operation: Operation, finish: Finish) -> None:
        """Do an operation now or in its turn. Not counted as a session. Raises `OpenEnvError` when it may not be done."""
        if operation.op not in WITHOUT_SESSION:
            raise SessionError(f"{operation.op!r} needs a session", hint="Open one with POST /sessions and name it.")
        if operation.principal.session is not None:
            raise Forbidden("this token is bound to one session", hint="Name that session.")
        if self.taken >= self.at_once and len(self._waiting) >= self.waiting_limit:
            raise Overloaded(
                f"{self.at_once} requests without a session are being done and {len(self._waiting)} wait",
                hint="Wait a moment, or open a session.",
                retry_after_s=1.0,
            )
        self._waiting.append((operation, finish))
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """In a loop: what begins may end at once, and then the next has its turn."""
        if self._beginning:
            return
        self._beginning = True
        try:
            while self._waiting and self.taken < self.at_once:
                self._begin(*self._waiting.popleft())
        finally:
            self._beginning = False

    def _begin(self, operation: Operation, finish: Finish) -> None:
        made_world = self._make(operation)
        if made_world is None:
            finish(Result(error=ShuttingDown("The server is shutting down", hint="Connect again in a moment.")))
            return
        world = made_world
        self.taken += 1

        def done(result: Result) -> None:
            def closed() -> None:
                self.taken -= 1
                finish(result)
                self._begin_waiting()

            self._close(world, "a single request", closed)

        def made(error: OpenEnvError | None) -> None:
            if error is not None:
                done(Result(error=error))
                return
            result = world.submit(operation, done)
            if result is not None:
                done(result)

        self._open(world, made)
