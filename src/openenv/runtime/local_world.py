"""A world whose environment lives in this process: on the event loop, on a thread, or on both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from openenv.errors import Cancelled, LaneLost, OpenEnvError
from openenv.operation import Control, Operation, Principal, RequestContext, Result
from openenv.runtime.grading import Deferred
from openenv.runtime.play import Play, drive
from openenv.runtime.world import Finish, World

if TYPE_CHECKING:
    from openenv.runtime.executors import Lane, ThreadPool
    from openenv.runtime.specification import AnyEnvironment, EnvironmentSpecification

__all__ = ["LocalWorld"]

log = logging.getLogger("openenv.runtime")


class LocalWorld(World):
    """One environment instance here: inline, on a lane of the pool, or as coroutines."""

    def __init__(
        self,
        specification: EnvironmentSpecification,
        pool: ThreadPool,
        grading: ThreadPool,
        name: str | None,
        owner: Principal,
        context: RequestContext,
    ) -> None:
        super().__init__(specification, name, owner, context)
        self._pool = pool
        self._grading = grading
        self._lane: Lane | None = None
        self._stoppable: asyncio.Task[Any] | None = None
        """The running operation, where the end of the world need not wait for it."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """The loop itself holds its tasks only weakly."""

    def step_now(self, operation: Operation) -> Result | None:
        """Do a step and return what came of it, where nothing can come between; None, and nothing is done, everywhere else."""
        play, control = self.play, operation.control
        if play is None or self._busy or not self._inline or self.closed is not None or play.scenario is not None:
            return None
        if control is not None and control.cancelled:
            return None
        result = play.perform_now(operation)
        assert type(result) is Result  # only a scenario defers anything of a step
        if self.observers:
            self._show(operation, result)
        return result

    def close(self, reason: str, finish: Callable[[], None]) -> None:
        """As `World.close`; the running operation is cancelled where the environment's class says so (``stops_when_closed``)."""
        busy = self.busy and self.closed is None
        super().close(reason, finish)
        if busy and self._stoppable is not None:
            self._stoppable.cancel()

    def give_up(self) -> None:
        """Stop waiting for coroutines that do not end; the environment is not closed then."""
        for task in self._tasks:
            task.cancel()

    def _build(self, built: Callable[[Play | OpenEnvError], None]) -> None:
        make = self.specification.make

        def build() -> AnyEnvironment | OpenEnvError:
            try:
                return make(self.context, self.owner)
            except OpenEnvError as error:
                return error
            except BaseException:
                log.exception("the factory of %s raised", self.specification.name)
                return self.specification.factory_failed()

        def made(outcome: AnyEnvironment | OpenEnvError) -> None:
            if isinstance(outcome, OpenEnvError):
                built(outcome)
                return
            outcome.on_tools_changed = self._tools_changed(asyncio.get_running_loop())
            outcome.on_event = self.said.say
            built(Play(self.specification, outcome))

        try:
            if self.specification.affinity:
                self._lane = self._pool.pin()
            self._pool.submit(build, made, made, self._lane)
        except OpenEnvError as error:
            built(error)

    def _tools_changed(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        def tell() -> None:
            for listener in list(self.tool_listeners):
                listener()

        def changed() -> None:
            if not loop.is_closed():  # a thread of the environment's own may outlive the server
                loop.call_soon_threadsafe(tell)

        return changed

    def _begin(self, operation: Operation, finish: Finish) -> Result | None:
        play = self.play
        assert play is not None
        if self._inline:
            outcome = play.perform_now(operation)
            if type(outcome) is Result:
                if self.observers:
                    self._show(operation, outcome)
                return outcome
            self._busy = True
            self._came(outcome, finish)
        elif self.specification.is_async:
            self._spawn(play.perform(operation), finish, operation.control)
        else:
            self._run_on_lane(lambda: play.perform_now(operation), finish)
        return None

    def _run_on_lane(self, job: Callable[[], Any], finish: Finish) -> None:
        def done(outcome: Result | Deferred) -> None:
            self._came(outcome, finish)

        try:
            self._pool.submit(job, done, lambda error: self._lost(error, finish), self._lane)
        except LaneLost as error:
            self._lost(error, finish)
        except OpenEnvError as error:
            self._finished(Result(error=error), finish)

    def _spawn(self, work: Coroutine[Any, Any, Result | Deferred], finish: Finish, control: Control | None) -> None:
        def ended(task: asyncio.Task[Result | Deferred]) -> None:
            self._stoppable = None
            if control is not None:
                control.on_cancel = None
            if task.cancelled():
                self._finished(Result(error=self._ended() if self.closed else Cancelled("The step was cancelled")), finish)
            else:
                self._came(task.result(), finish)

        task = self._keep(work)
        if self.specification.stops_when_closed:
            self._stoppable = task
        if control is not None:
            control.on_cancel = task.cancel
        task.add_done_callback(ended)

    def _came(self, outcome: Result | Deferred, finish: Finish) -> None:
        if isinstance(outcome, Deferred):
            self._decide(outcome, finish)
        else:
            self._finished(outcome, finish)

    def _decide(self, deferred: Deferred, finish: Finish) -> None:
        """Grade on threads of grading's own. Should that hang, the environment is none the worse: only the answer is an error."""

        def failed(error: OpenEnvError) -> None:
            self._finished(Result(error=error), finish)

        try:
            self._grading.submit(deferred.run, lambda result: self._finished(result, finish), failed)
        except OpenEnvError as error:
            failed(error)

    def _end(self, finish: Callable[[], None]) -> None:
        play, self.play = self.play, None
        if play is None:
            self._release()
            finish()
            return

        def ended(_: Any) -> None:
            self._release()
            finish()

        if self.specification.is_async:
            self._keep(play.close()).add_done_callback(ended)
            return
        try:
            self._pool.submit(lambda: drive(play.close()), ended, ended, self._lane)
        except OpenEnvError:
            log.exception("%s could not be closed: no thread is left", self.specification.name)
            ended(None)

    def _release(self) -> None:
        if self._lane is not None:
            self._pool.unpin(self._lane)
            self._lane = None

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
