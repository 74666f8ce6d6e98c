"""A world: one running environment, its mailbox, and what is known of its episode.

Whatever changes a world is an operation in its mailbox, one at a time and in order. ``submit`` returns the result when
it is there at once (an inline environment); else it returns None and calls ``finish`` on the event loop later.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from openenv.errors import Cancelled, LaneLost, OpenEnvError, Overloaded, SessionError
from openenv.operation import Operation, Principal, RequestContext, Result
from openenv.runtime.said import Said

if TYPE_CHECKING:
    from openenv.runtime.play import Play
    from openenv.runtime.specification import EnvironmentSpecification
    from openenv.types import State

__all__ = ["Finish", "World"]

log = logging.getLogger("openenv.runtime")

Finish = Callable[[Result], None]
MAILBOX_LIMIT = 1024
_WITH_STATE = frozenset({"state"})


class World(ABC):
    """One environment instance. Made with `open`, ended with `close`; used on the event loop only.

    Here are its mailbox, its order and its life; where the environment runs, its subclasses know.
    """

    def __init__(
        self, specification: EnvironmentSpecification, name: str | None, owner: Principal, context: RequestContext
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
        self._mailbox: deque[tuple[Operation, Finish]] = deque()
        self._busy = True
        self._on_idle: list[Callable[[], None]] = []
        self._opening = True
        self._on_open: list[Callable[[OpenEnvError | None], None]] = []

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
        """Call the factory, never on the event loop, then ``finish``."""

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

    def when_open(self, finish: Callable[[OpenEnvError | None], None]) -> None:
        """Call ``finish`` once the factory has returned: at once, if it has."""
        if self._opening:
            self._on_open.append(finish)
        else:
            finish(self.failure)

    def step_now(self, operation: Operation) -> Result | None:
        """Do a step and return what came of it, where nothing can come between; None, and nothing is done, everywhere else."""
        return None

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
        """End the world after the running operation: refuse what waits, call the environment's ``close`` once."""
        if self.closed is not None:
            finish()
            return
        self.closed = reason
        self._refuse_waiting(self._ended())
        if self._busy:
            self._on_idle.append(lambda: self._end(finish))
        else:
            self._busy = True
            self._end(finish)

    def _start(self, operation: Operation, finish: Finish) -> Result | None:
        control = operation.control
        if control is not None:
            control.on_cancel = None
            if control.cancelled:
                return Result(error=Cancelled("Taken back before it began"))
        if not self._inline:
            self._busy = True
            if self.keeps_state or self.observers:
                finish = self._noting(operation, finish)
        return self._begin(operation, finish)

    # What is done where the environment is.

    @abstractmethod
    def _build(self, built: Callable[[Play | OpenEnvError], None]) -> None:
        """Make the environment where it is to live, then ``built``, on the event loop."""

    @abstractmethod
    def _begin(self, operation: Operation, finish: Finish) -> Result | None:
        """Do it: the result where it is there at once; else `_finished`, or `_lost`, later."""

    @abstractmethod
    def _end(self, finish: Callable[[], None]) -> None:
        """Call the environment's ``close``, where there is an environment, and `_release` what it had; then ``finish``."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what the environment, or the factory that made none, was run on."""

    @abstractmethod
    def give_up(self) -> None:
        """Stop waiting for what does not end; the environment may not be closed then."""

    # Its order.

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

    def _finished(self, result: Result, finish: Finish) -> None:
        try:
            finish(result)
        finally:  # whatever goes wrong where the answer is sent, the world is there for the others
            self._next()

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

    def _ended(self) -> SessionError:
        return SessionError(f"The session has ended: {self.closed}", hint="Open a new one.")

    def _refuse_waiting(self, error: OpenEnvError) -> None:
        while self._mailbox:
            _, finish = self._mailbox.popleft()
            _tell(finish, Result(error=error))


def _tell(finish: Finish, result: Result) -> None:
    """Whatever goes wrong where one answer is sent, the others get theirs."""
    try:
        finish(result)
    except Exception:
        log.exception("an answer could not be handed over")
