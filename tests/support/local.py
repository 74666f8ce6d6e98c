"""A pipeline without a server, for tests that need no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from openenv.operation import ANONYMOUS, NO_CONTEXT, Operation, Principal, RequestContext, Result
from openenv.runtime import EnvironmentSpecification, Pipeline, SessionManager, SessionRequest
from openenv.runtime.executors import ProcessPool, ThreadPool
from openenv.server.app import types_of
from openenv.types import State

__all__ = ["Local", "let_pass", "until"]


async def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds; the test's own time limit ends what never does."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.01)


async def let_pass(seconds: float) -> None:
    """So much time passes at once on the running loop's clock, and what was due by then is done."""
    loop = asyncio.get_running_loop()
    before = loop.time
    setattr(loop, "time", lambda: before() + seconds)  # noqa: B010 - a method is not assigned to otherwise
    for _ in range(10):
        await asyncio.sleep(0)


class Local:
    """Drives environments through the pipeline as a transport would."""

    def __init__(
        self,
        factory: Any,
        *,
        middleware: Sequence[Any] = (),
        pool: ThreadPool | None = None,
        max_sessions: int = 100,
        lease_s: float | None = 60.0,
        workers: ProcessPool | None = None,
    ) -> None:
        action, observation = types_of(factory)
        self.specification = EnvironmentSpecification.of(factory, action, observation, State, None)
        self.manager = SessionManager(self.specification, max_sessions=max_sessions, lease_s=lease_s, pool=pool, workers=workers)
        self.pipeline = Pipeline(self.manager, middleware)

    async def run(
        self,
        op: Any,
        payload: Any = None,
        *,
        session: str | None = None,
        arguments: dict[str, Any] | None = None,
        principal: Principal = ANONYMOUS,
        context: RequestContext = NO_CONTEXT,
        include: frozenset[str] = frozenset(),
    ) -> Result:
        operation = Operation(op, payload, arguments, session=session, principal=principal, context=context, include=include)
        return await self.pipeline.run(operation)

    async def open(self, world: str | None = None, *, kind: Any = "socket", principal: Principal = ANONYMOUS) -> str:
        result = await self.run("create", SessionRequest(kind=kind, world_name=world), principal=principal)
        if result.error is not None:
            raise result.error
        assert result.session is not None
        return result.session

    async def ok(self, op: Any, payload: Any = None, **known: Any) -> Result:
        """Run, and raise what went wrong."""
        result = await self.run(op, payload, **known)
        if result.error is not None:
            raise result.error
        return result
