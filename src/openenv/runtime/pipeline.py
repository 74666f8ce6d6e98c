"""The one way from a transport to a world: ``before`` hooks, the session manager, ``after`` hooks.

A middleware is any object with some of these methods (`openenv.middleware.Hooks` is a base with empty ones);
none has to be there:

- ``admit(connection)``: once per socket or HTTP request, before a body is parsed or an environment exists. It may set
  ``connection.principal``, and refuses by raising an `OpenEnvError`.
- ``refused(connection, error)``: somebody was refused before there was an operation, by ``admit`` or by the server itself.
  It may raise another `OpenEnvError`, which then takes the place of this one.
- ``before(operation)``: refuses by raising an `OpenEnvError`.
- ``after(operation, result)``: sees every operation of every transport, the refused ones too.
- ``async handle(operation, next)``: for what must wait; ``await next(operation)`` goes on. A chain with one of these
  runs each operation in a task; plain hooks cost a call each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from openenv.errors import ConfigurationError, ExecutionFailed, OpenEnvError
from openenv.operation import Connection, Operation, Result
from openenv.runtime.manager import SessionManager
from openenv.runtime.permission import permit
from openenv.runtime.session import Session
from openenv.runtime.world import Finish

__all__ = ["Next", "Pipeline"]

log = logging.getLogger("openenv.runtime")

Next = Callable[[Operation], Awaitable[Result]]


_HOOKS: Final = ("admit", "refused", "before", "after", "handle")


class Pipeline:
    """Carries operations through the middleware to the manager, and results back."""

    def __init__(self, manager: SessionManager, middleware: Sequence[Any] = ()) -> None:
        self.manager = manager
        self.use(middleware)
        manager.on_end = self._session_ended

    def use(self, middleware: Sequence[Any]) -> None:
        """Replace the middleware, before anything is served. Raises `ConfigurationError` for what is none."""
        for one in middleware:
            if isinstance(one, type) or not any(hasattr(one, hook) for hook in _HOOKS):
                name = one.__name__ if isinstance(one, type) else type(one).__name__
                what = "a class" if isinstance(one, type) else f"an object with none of {', '.join(_HOOKS)}"
                raise ConfigurationError(f"{name} is no middleware but {what}", hint="Pass an instance with some of the hooks.")
        self.middleware = tuple(middleware)
        self._admit = [one.admit for one in middleware if hasattr(one, "admit")]
        self._refused = [one.refused for one in reversed(middleware) if hasattr(one, "refused")]
        self._before = [one.before for one in middleware if hasattr(one, "before")]
        self._after = [one.after for one in reversed(middleware) if hasattr(one, "after")]
        self._handle = [one.handle for one in middleware if hasattr(one, "handle")]

    def admit(self, connection: Connection) -> None:
        """Ask every middleware in turn. Raises what the first that refuses raises."""
        try:
            for admit in self._admit:
                admit(connection)
        except Exception as raised:  # noqa: BLE001 - told by _typed
            raise self.refuse(connection, _typed(raised, "admit")) from None

    def refuse(self, connection: Connection, error: OpenEnvError) -> OpenEnvError:
        """Tell the middleware of a refusal that no operation stands for: the error to answer with."""
        for refused in self._refused:
            try:
                refused(connection, error)
            except Exception as raised:  # noqa: BLE001 - told by _typed
                error = _typed(raised, "refused")
        error.told = True
        return error

    def check(self, operation: Operation) -> None:
        """Ask the middleware and the scopes about what a route does by itself. Raises what refuses it, counted and logged."""
        try:
            for before in self._before:
                before(operation)
            permit(operation)
        except Exception as raised:  # noqa: BLE001 - told by _typed
            error = _typed(raised, "before")
            self._ended(operation, Result(error=error))
            raise error from None

    def submit(self, operation: Operation, finish: Finish) -> Result | None:
        """Do the operation: the result when it is there at once, else None and ``finish`` on the loop later."""
        try:
            for before in self._before:
                before(operation)
        except Exception as raised:  # noqa: BLE001 - told by _typed
            return self._ended(operation, Result(error=_typed(raised, "before")))
        if self._handle:
            self._submit_task(operation, finish)
            return None
        result = self.manager.step_now(operation)
        if result is None:
            return self._dispatch(operation, finish)
        return self._ended(operation, result)

    def _dispatch(self, operation: Operation, finish: Finish) -> Result | None:
        result = self.manager.dispatch(operation, lambda late: finish(self._ended(operation, late)))
        return None if result is None else self._ended(operation, result)

    async def run(self, operation: Operation) -> Result:
        """`submit` for callers that can wait."""
        return await _run(self.submit, operation)

    def _ended(self, operation: Operation, result: Result) -> Result:
        if result.error is not None:
            result.error.told = True
        for after in self._after:
            try:
                after(operation, result)
            except Exception:
                log.exception("a middleware raised in after")
        return result

    def _submit_task(self, operation: Operation, finish: Finish) -> None:
        async def work() -> None:
            try:
                result = await self._chain(0)(operation)
            except OpenEnvError as error:
                result = Result(error=error)
            except asyncio.CancelledError:
                result = Result(error=ExecutionFailed("The operation was cancelled"))
            except Exception:
                log.exception("a middleware raised in handle")
                result = Result(error=OpenEnvError("a middleware failed"))
            finish(self._ended(operation, result))

        task = asyncio.get_running_loop().create_task(work())
        _keep(task)

    def _chain(self, index: int) -> Next:
        if index == len(self._handle):
            return lambda operation: _run(self.manager.dispatch, operation)
        handle = self._handle[index]
        return lambda operation: handle(operation, self._chain(index + 1))

    def _session_ended(self, session: Session, reason: str) -> None:
        """However a session ends, the middleware sees it once, as a ``close`` with the reason in its payload."""
        play = session.world.play
        operation = Operation(
            "close",
            payload=reason,
            session=session.id,
            principal=session.principal,
            context=session.context,
            transport="runtime",
        )
        self._ended(operation, Result(episode=play.environment.episode_id if play else None))


def _typed(raised: Exception, hook: str) -> OpenEnvError:
    """What a middleware refuses with; anything else that it raises is its own fault, and the server's to tell."""
    if isinstance(raised, OpenEnvError):
        return raised
    log.error("a middleware raised in %s", hook, exc_info=raised)
    return OpenEnvError("a middleware failed")


async def _run(submit: Callable[[Operation, Finish], Result | None], operation: Operation) -> Result:
    """Wait for a ``submit``; a future is made only when there is something to wait for."""
    waiting: asyncio.Future[Result] | None = None
    early: Result | None = None

    def finish(result: Result) -> None:
        nonlocal early
        if waiting is None:
            early = result
        elif not waiting.done():
            waiting.set_result(result)

    result = submit(operation, finish)
    if result is not None or early is not None:
        return result or early  # type: ignore[return-value]
    waiting = asyncio.get_running_loop().create_future()
    return await waiting


_tasks: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """Hold the task until it ends: the loop itself keeps only a weak reference."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
