"""A world: one running environment, its mailbox, and what is known of its episode.

Whatever changes a world is an operation in its mailbox, one at a time and in order. ``submit`` returns the result when
it is there at once (an inline environment); else it returns None and calls ``finish`` on the event loop later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any

from openenv.errors import Cancelled, LaneLost, OpenEnvError, Overloaded, SessionError
from openenv.operation import Control, Operation, Principal, RequestContext, Result
from openenv.runtime.grading import Deferred
from openenv.runtime.play import Play, drive
from openenv.runtime.said import Said

if TYPE_CHECKING:
    from openenv.runtime.executors import Lane, ThreadPool
    from openenv.runtime.specification import AnyEnvironment, EnvironmentSpecification
    from openenv.types import State

__all__ = ["Finish", "World"]

log = logging.getLogger("openenv.runtime")

Finish = Callable[[Result], None]
MAILBOX_LIMIT = 1024
_WITH_STATE = frozenset({"state"})


class World:
    """One environment instance. Made with `open`, ended with `close`; used on the event loop only."""

    def __init__(
        self,
        specification: EnvironmentSpecification,
        pool: ThreadPool,
        grading: ThreadPool,
        name: str | None,
        owner: Principal,
        context: RequestContext,
    ) -> None:
        self.specification = specification
        self._inline = specification.inline
        self.name = name
        self.owner = owner
        self.context = context
        self.sessions: set[str] = set()
        self.play: Play | None = None
        self.closed: str | None = None
        """Why the world has ended, once it has."""
        self.failure: OpenEnvError | None = None
        """Why the factory made nothing."""
        self.on_lost: Callable[[World, str], None] | None = None
        self.tool_listeners: set[Callable[[], None]] = set()
        """Told, on the event loop, when the environment's list of tools has changed."""
        self.said = Said()
        """What the environment says unasked, for those who listen."""
        self.observers: set[Callable[[Operation, Result], None]] = set()
        """Told of everything that was done, before the caller is."""
        self.keeps_state = False
        """Whether the state is copied after every operation, for `glance`; an inline environment is never found busy."""
        self.last_state: State | None = None
        self._pool = pool
        self._grading = grading
        self._lane: Lane | None = None
        self._mailbox: deque[tuple[Operation, Finish]] = deque()
        self._busy = True
        self._on_idle: list[Callable[[], None]] = []
        self._opening = True
        self._on_open: list[Callable[[OpenEnvError | None], None]] = []
        self._stoppable: asyncio.Task[Any] | None = None
        """The running operation, where the end of the world need not wait for it."""
        self._tasks: set[asyncio.Task[Any]] = set()
        """The loop itself holds its tasks only weakly."""

    @property
    def busy(self) -> bool:
        """Whether an operation (or the factory) is running."""
        return self._busy

    def glance(self) -> Result | None:
        """The state before the operation that is running; None where that is not known, or none is running.

        Once somebody has asked, the state is copied after every operation, on the environment's lane.
        """
        self.keeps_state = not self.specification.inline
        if not self._busy or self.last_state is None:
            return None
        return Result(value=self.last_state, busy=True)

    @property
    def idle_s(self) -> float:
        """Seconds since the last operation began."""
        return perf_counter() - self.play.last_active if self.play is not None else 0.0

    def open(self, finish: Callable[[OpenEnvError | None], None]) -> None:
        """Call the factory (on the pool, never on the event loop), then ``finish``."""

        def built(outcome: Play | OpenEnvError) -> None:
            error = outcome if isinstance(outcome, OpenEnvError) else None
            if isinstance(outcome, OpenEnvError):
                self.failure = outcome
                self._release()
            else:
                self.play = outcome
            self._opening = False
            for waiting in (finish, *self._on_open):
                waiting(error)
            self._on_open.clear()
            self._next()

        self._build(built)

    def _build(self, built: Callable[[Play | OpenEnvError], None]) -> None:
        """Make the environment where it is to live."""
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

    def when_open(self, finish: Callable[[OpenEnvError | None], None]) -> None:
        """Call ``finish`` once the factory has returned: at once, if it has."""
        if self._opening:
            self._on_open.append(finish)
        else:
            finish(self.failure)

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

    def submit(self, operation: Operation, finish: Finish) -> Result | None:
        """Do the operation now, or when its turn comes; a cancelled one is not begun."""
        if self.closed is not None:
            return Result(error=self._ended())
        if self._busy:
            if len(self._mailbox) >= MAILBOX_LIMIT:
                return Result(error=Overloaded(f"{MAILBOX_LIMIT} operations wait for this world", hint="Wait for answers."))
            self._mailbox.append((operation, finish))
            if operation.control is not None:
                operation.control.on_cancel = lambda: self._take_back(operation)
            return None
        return self._start(operation, finish)

    def _take_back(self, operation: Operation) -> None:
        """One that waits is not to be begun any more."""
        for entry in self._mailbox:
            if entry[0] is operation:
                self._mailbox.remove(entry)
                entry[1](Result(error=Cancelled("Taken back before it began")))
                return

    def close(self, reason: str, finish: Callable[[], None]) -> None:
        """End the world after the running operation: refuse what waits, call the environment's ``close`` once.

        The running operation is cancelled where the environment's class says so (``stops_when_closed``).
        """
        if self.closed is not None:
            finish()
            return
        self.closed = reason
        self._refuse_waiting(self._ended())
        if self._busy:
            self._on_idle.append(lambda: self._end(finish))
            if self._stoppable is not None:
                self._stoppable.cancel()
        else:
            self._busy = True
            self._end(finish)

    def _start(self, operation: Operation, finish: Finish) -> Result | None:
        play = self.play
        assert play is not None
        control = operation.control
        if control is not None:
            control.on_cancel = None
            if control.cancelled:
                return Result(error=Cancelled("Taken back before it began"))
        if self._inline:
            outcome = play.perform_now(operation)
            if type(outcome) is Result:
                if self.observers:
                    self._show(operation, outcome)
                return outcome
            self._busy = True
            self._finished(outcome, finish)
            return None
        self._busy = True
        if self.keeps_state or self.observers:
            finish = self._noting(operation, finish)
        self._begin(operation, finish)
        return None

    def _begin(self, operation: Operation, finish: Finish) -> None:
        """Do what is not done inline."""
        play = self.play
        assert play is not None
        if self.specification.is_async:
            self._spawn(play.perform(operation), finish, operation.control)
        else:
            self._run_on_lane(lambda: play.perform_now(operation), finish, self._lane)

    def _noting(self, operation: Operation, finish: Finish) -> Finish:
        if self.keeps_state:
            operation.include |= _WITH_STATE

        def noted(result: Result) -> None:
            if result.state is not None:
                self.last_state = result.state
            self._show(operation, result)
            finish(result)

        return noted

    def _show(self, operation: Operation, result: Result) -> None:
        for observer in list(self.observers):
            try:
                observer(operation, result)
            except Exception:
                log.exception("somebody who watches %s raised", self.specification.name)

    def _run_on_lane(self, job: Callable[[], Any], finish: Finish, lane: Lane | None) -> None:
        try:
            self._pool.submit(job, lambda outcome: self._finished(outcome, finish), lambda error: self._lost(error, finish), lane)
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
                self._finished(task.result(), finish)

        task = self._keep(work)
        if self.specification.stops_when_closed:
            self._stoppable = task
        if control is not None:
            control.on_cancel = task.cancel
        task.add_done_callback(ended)

    def give_up(self) -> None:
        """Stop waiting for coroutines that do not end; the environment is not closed then."""
        for task in self._tasks:
            task.cancel()

    def _keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _finished(self, outcome: Result | Deferred, finish: Finish) -> None:
        if isinstance(outcome, Deferred):
            self._decide(outcome, finish)
            return
        try:
            finish(outcome)
        finally:  # whatever goes wrong where the answer is sent, the world is there for the others
            self._next()

    def _decide(self, deferred: Deferred, finish: Finish) -> None:
        """Grade on threads of grading's own. Should that hang, the environment is none the worse: only the answer is an error."""

        def failed(error: OpenEnvError) -> None:
            self._finished(Result(error=error), finish)

        try:
            self._grading.submit(deferred.run, lambda result: self._finished(result, finish), failed)
        except OpenEnvError as error:
            failed(error)

    def _next(self) -> None:
        self._busy = False
        if self._on_idle:
            self._busy = True
            ending, self._on_idle = self._on_idle, []
            for end in ending:
                end()
            return
        while self._mailbox and not self._busy:
            operation, finish = self._mailbox.popleft()
            result = self._start(operation, finish)
            if result is not None:
                _tell(finish, result)

    def _lost(self, error: LaneLost, finish: Finish) -> None:
        """The lane hung: nobody may touch the environment again, not even to close it."""
        self.closed = self.closed or error.message
        self.play = None
        _tell(finish, Result(error=error))
        self._refuse_waiting(error)
        for waiting in self._on_idle:
            waiting()
        self._on_idle.clear()
        if self.on_lost is not None:
            self.on_lost(self, error.message)

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

    def _ended(self) -> SessionError:
        return SessionError(f"The session has ended: {self.closed}", hint="Open a new one.")

    def _refuse_waiting(self, error: OpenEnvError) -> None:
        while self._mailbox:
            _, finish = self._mailbox.popleft()
            _tell(finish, Result(error=error))

    def _release(self) -> None:
        if self._lane is not None:
            self._pool.unpin(self._lane)
            self._lane = None


def _tell(finish: Finish, result: Result) -> None:
    """Whatever goes wrong where one answer is sent, the others get theirs."""
    try:
        finish(result)
    except Exception:
        log.exception("an answer could not be handed over")
