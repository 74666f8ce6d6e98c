"""A bounded pool of worker processes, each with one live world at most.

A worker is started before somebody needs it, and used again when its world has ended, until it has played so many episodes
or a world has left something behind. Who finds none waits only for one that is being started or given back; else it is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from openenv.errors import CapacityReached, ConfigurationError, FactoryFailed, LaneLost, OpenEnvError, ShuttingDown, WorkerCrashed
from openenv.runtime.executors.losses import NO_LIMIT, Limit
from openenv.runtime.executors.orders import Plan
from openenv.runtime.executors.process import OnLost, WorkerProcess
from openenv.runtime.specification import EnvironmentSpecification

__all__ = ["ProcessPool", "Processes"]

log = logging.getLogger("openenv.runtime")

_LOOK_S: Final = 0.2
"""How often workers are looked at: what runs past a limit ends this much later at most."""
_ENDING_S: Final = 2.0

Got = Callable[[WorkerProcess | OpenEnvError], None]


@dataclass(frozen=True, slots=True)
class Processes:
    """How many worker processes there may be, and when one is replaced."""

    limit: int = 16
    """Processes at once, with those that are being started or ended."""
    spare: int = 1
    """How many are kept ready for the next worlds."""
    memory_mb: int | None = None
    """What each may hold, in MiB: 0 is no limit, None what the environment's class says (``process_memory_mb``)."""
    episodes: int | None = None
    """After how many episodes a worker is replaced, once its world has ended: 0 is never, None what the class says."""
    start_limit_s: float = 60.0
    """How long a process may take to load the environment."""


class ProcessPool:
    """The worker processes for one environment's worlds.

    Args:
        specification: The environment's.
        processes: How many there may be.
        hang_limit_s: How long one operation may take; None is for ever.

    Raises:
        ConfigurationError: another process could not find the factory, or this system has no such processes.
    """

    def __init__(
        self,
        specification: EnvironmentSpecification,
        processes: Processes | int = 16,
        *,
        hang_limit_s: float | None = 300.0,
    ) -> None:
        known = processes if isinstance(processes, Processes) else Processes(processes)
        if sys.platform == "win32":
            raise ConfigurationError("worker processes need a POSIX system", hint="Leave execution as it is: 'thread'.")
        if known.limit < 1:
            raise ConfigurationError(f"{known.limit} worker processes are too few", field="processes", hint="Give one or more.")
        kind: type[Any] = specification.environment_type
        self.limit = known.limit
        self.spare = min(known.spare, known.limit)
        self.memory_mb: int = kind.process_memory_mb if known.memory_mb is None else known.memory_mb
        self.episodes: int = kind.process_episodes if known.episodes is None else known.episodes
        self.hang_limit = NO_LIMIT if hang_limit_s is None else Limit("hang_limit_s", hang_limit_s)
        self.on_lost: OnLost = _log_loss
        """Told of every process that ends before it was asked to, and why: a line of the log by default."""
        self.start_limit_s = known.start_limit_s
        self._plan = Plan.of(specification, self.memory_mb)
        self._workers: set[WorkerProcess] = set()
        self._free: list[WorkerProcess] = []
        self._waiting: deque[Got] = deque()
        self._looking: asyncio.TimerHandle | None = None
        self._ready = 0
        """How many are to wait ready: none after one could not be started, until another could."""
        self._ended: asyncio.Event | None = None

    def start(self) -> None:
        """Begin to keep spare workers."""
        self._ended = None
        self._ready = self.spare
        self._fill()

    def acquire(self, got: Got) -> None:
        """Hand a worker without a world to ``got``, or why there is none: now, or when the one that is coming is there."""
        if self._ended is not None:
            got(ShuttingDown("The server is shutting down", hint="Connect again in a moment."))
            return
        while self._free:
            worker = self._free.pop()
            if not worker.is_ready():
                continue
            worker.state = "held"
            got(worker)
            self._fill()
            self._watch()
            return
        if self._coming() + self.limit - len(self._workers) <= len(self._waiting):
            got(self._refusal())
            return
        self._waiting.append(got)
        self._fill()

    async def close(self) -> None:
        """End every worker: those without a world in good order, the others at once."""
        if self._ended is None:
            self._ended = asyncio.Event()
        self._ready = 0
        while self._waiting:
            self._waiting.popleft()(ShuttingDown("The server is shutting down", hint="Connect again in a moment."))
        self._free.clear()
        for worker in list(self._workers):
            if worker.state in ("held", "closing"):
                worker.lose(WorkerCrashed("The server shuts down"))
            elif worker.state != "ending":
                worker.retire()
        if self._workers:
            try:
                await asyncio.wait_for(self._ended.wait(), _ENDING_S)
            except TimeoutError:
                log.error("%d worker processes have not ended", len(self._workers))
                for worker in self._workers:
                    worker.kill()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _coming(self) -> int:
        """Workers that will be free, or make room for another, without anybody giving up a world."""
        return sum(worker.state in ("starting", "closing", "ending") for worker in self._workers)

    def _refusal(self) -> CapacityReached:
        held = sum(worker.state == "held" for worker in self._workers)
        others = self.limit - held
        promised = f", and the other {others} are for callers who came before" if others else ""
        return CapacityReached(
            f"No worker process is free: each serves one session at a time, and {held} of the server's {self.limit} do{promised}",
            hint=f"Close a session, come back later, or raise the server's limit: create_app(…, processes={2 * self.limit}).",
            details={"active_workers": held, "max_workers": self.limit},
        )

    def _fill(self) -> None:
        """Start what is asked for or kept ready, as far as there is room."""
        if self._ended is not None:
            return
        coming = sum(worker.state == "starting" for worker in self._workers)
        wanted = max(len(self._waiting), self._ready - len(self._free)) - coming
        for _ in range(min(wanted, self.limit - len(self._workers))):
            if not self._start_one():
                return
        self._watch()

    def _start_one(self) -> bool:
        try:
            worker = WorkerProcess(
                pickle.dumps(replace(self._plan, server_pid=os.getpid())),
                memory_mb=self.memory_mb,
                start_limit_s=self.start_limit_s,
                on_change=self._changed,
                on_lost=lambda worker, error: self.on_lost(worker, error),
            )
        except OSError as error:
            log.error("no worker process can be started: %s", error)
            self._ready = 0
            if self._waiting:
                self._waiting.popleft()(FactoryFailed(f"No worker process can be started: {error.strerror}"))
            return False
        self._workers.add(worker)
        return True

    def _changed(self, worker: WorkerProcess) -> None:
        if worker.state == "gone":
            self._left(worker)
        elif worker.state == "free":
            self._ready = self.spare
            if not worker.clean or 0 < self.episodes <= worker.episodes or self._ended is not None:
                worker.retire()
            elif self._waiting:
                worker.state = "held"
                self._waiting.popleft()(worker)
            else:
                self._free.append(worker)
        self._fill()

    def _left(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        if worker in self._free:
            self._free.remove(worker)
        if worker.failure is not None:
            self._ready = 0
            if self._waiting:
                self._waiting.popleft()(worker.failure)
        if self._ended is not None and not self._workers:
            self._ended.set()

    def _look(self) -> None:
        now = time.monotonic()
        self._looking = None
        for worker in list(self._workers):
            worker.look(now)
        self._watch()

    def _watch(self) -> None:
        """Look in a moment, where anybody does anything."""
        if self._looking is None and len(self._free) < len(self._workers):
            self._looking = asyncio.get_running_loop().call_later(_LOOK_S, self._look)


def _log_loss(worker: WorkerProcess, error: LaneLost) -> None:
    sessions = ", ".join(worker.holder.sessions) if worker.holder is not None else "none"
    log.error("worker process %d (%s, session %s) is lost: %s", worker.pid, worker.state, sessions or "none", error.message)
