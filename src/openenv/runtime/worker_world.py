"""A world whose environment lives in a worker process: the same mailbox, with the play at the other end of a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, cast

from openenv.encoded import EncodedState
from openenv.errors import LaneLost, OpenEnvError
from openenv.operation import Operation, Principal, RequestContext, Result
from openenv.runtime.executors.losses import Limit
from openenv.runtime.executors.orders import OrderWriter
from openenv.runtime.play import Play
from openenv.runtime.world import Finish, World

if TYPE_CHECKING:
    from openenv.runtime.executors.answers import Answer
    from openenv.runtime.executors.process import WorkerProcess
    from openenv.runtime.executors.processes import ProcessPool
    from openenv.runtime.specification import EnvironmentSpecification

__all__ = ["CLOSING_S", "GRACE_S", "WorkerWorld"]

CLOSING_S = 10.0
"""How long a running operation still has when its world is closed: a process is not held for somebody who has gone."""

GRACE_S = 0.5
"""How long an operation may still take when its deadline has passed, and its caller may have taken it back: then its process is
ended, and its world with it.
"""
_SHOWN: Final = frozenset({"reset", "step", "load_scenario"})
_VALUES: Final[dict[str, type]] = {
    "state": EncodedState,
    "list_tools": list,
    "snapshot": bytes,
    "export": bytes,
    "restore": dict,
    "query": dict,
    "verify": dict,
}


@dataclass(slots=True)
class _FarEnvironment:
    episode_id: str | None = None
    step_count: int = 0


@dataclass(slots=True)
class _FarScenario:
    id: str


@dataclass(slots=True)
class _FarPlay:
    """What is told here of the `Play` that is in the worker, as of the last answer."""

    environment: _FarEnvironment = field(default_factory=_FarEnvironment)
    scenario: _FarScenario | None = None
    last_active: float = field(default_factory=perf_counter)
    sequence: int = 0


class WorkerWorld(World):
    """One environment instance in a process of its own."""

    def __init__(
        self,
        specification: EnvironmentSpecification,
        workers: ProcessPool,
        name: str | None,
        owner: Principal,
        context: RequestContext,
    ) -> None:
        super().__init__(specification, name, owner, context)
        self._workers = workers
        self._worker: WorkerProcess | None = None
        self._orders = OrderWriter(owner, context)
        self._far = _FarPlay()
        self._running: Finish | None = None
        self._built: Callable[[Play | OpenEnvError], None] | None = None

    def close(self, reason: str, finish: Callable[[], None]) -> None:
        """As `World.close`; but an operation that is running then has `CLOSING_S` to end, or its process is ended."""
        busy = self.busy and self.closed is None
        super().close(reason, finish)
        if busy and self._worker is not None:
            self._worker.hurry(Limit("closed", CLOSING_S))

    def give_up(self) -> None:
        """End the process, whatever it is doing."""
        if self._worker is not None:
            self._worker.lose(LaneLost("The server shuts down"))

    def worker_lost(self, error: LaneLost) -> None:
        """As `Holder.worker_lost`."""
        self._worker = None
        finish, self._running = self._running, None
        built, self._built = self._built, None
        if built is not None:
            built(error)
        else:
            self._lost(error, finish or _nobody)

    def worker_said(self, event: Any) -> None:
        """As `Holder.worker_said`."""
        self.said.say(event)

    def worker_tools_changed(self) -> None:
        """As `Holder.worker_tools_changed`."""
        for listener in list(self.tool_listeners):
            listener()

    def _build(self, built: Callable[[Play | OpenEnvError], None]) -> None:
        def got(worker: WorkerProcess | OpenEnvError) -> None:
            if isinstance(worker, OpenEnvError):
                built(worker)
                return
            self._worker = worker
            self._built = built
            worker.open(self, self._orders.opening(), self._workers.hang_limit, made)

        def made(answer: Answer) -> None:
            self._built = None
            # Whoever reads of a play reads what `_FarPlay` has; what is done to one is done by the worker.
            built(answer.result.error or cast("Play", self._far))

        self._workers.acquire(got)

    def _begin(self, operation: Operation, finish: Finish) -> Result | None:
        worker = self._worker
        assert worker is not None
        self._far.last_active = perf_counter()
        try:
            order = self._orders.write(operation)
        except OpenEnvError as error:
            self._finished(Result(error=error), finish)
            return None
        limit = self._workers.hang_limit
        if operation.deadline is not None and operation.deadline < limit.seconds:
            limit = Limit("deadline", operation.deadline, GRACE_S)

        def done(answer: Answer) -> None:
            if not _fits(operation.op, answer.result):
                raise ValueError(f"what answers no {operation.op}")
            self._running = None
            operation.seq = answer.seq
            self._note(answer)
            self._finished(answer.result, finish)

        self._running = finish
        worker.perform(operation, order, limit, done)
        return None

    def _note(self, answer: Answer) -> None:
        far = self._far
        far.sequence = answer.seq
        far.environment.episode_id = answer.result.episode
        far.environment.step_count = answer.steps
        far.scenario = None if answer.scenario is None else _FarScenario(answer.scenario)

    def _end(self, finish: Callable[[], None]) -> None:
        worker, self._worker = self._worker, None
        self.play = None
        if worker is None:
            finish()
        else:
            worker.close(self._workers.hang_limit, finish)

    def _release(self) -> None:
        """The factory made nothing: the worker is as good as new."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close(self._workers.hang_limit, lambda: None)


def _fits(op: str, result: Result) -> bool:
    """Whether this may be what came of such an operation: whoever reads it looks no more."""
    if result.error is not None:
        return True
    if op in _SHOWN:
        return result.observation is not None
    if op == "call_tool":  # an observation that cannot be written is left out there
        return result.observation is not None or result.tool is not None
    kind = _VALUES.get(op)
    return kind is None or isinstance(result.value, kind)


def _nobody(_: Result) -> None:
    return None
