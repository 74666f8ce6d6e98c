"""A bounded pool of threads with a policy for those that hang.

There are two kinds of lane. Shared lanes take whatever comes next. A pinned lane serves the worlds that were promised
one thread for life. A lane whose job runs past the hang limit is abandoned: Python cannot stop a thread, so it is left
behind, its job's owner is told that it was lost, and another thread takes its place, until too many are left behind.
All methods are called on the event loop; only `Lane` loops run elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from openenv.errors import LaneLost, Overloaded

log = logging.getLogger("openenv.runtime")

THREADS: Final = 64
"""Of a pool: made when first needed, so that only environments that block have so many."""

Job = Callable[[], Any]
"""Runs on a lane; what it returns is handed to ``done``. What it raises costs it its owner: it should not."""


class _Task:
    __slots__ = ("done", "job", "loop", "lost", "settled")

    def __init__(self, job: Job, done: Callable[[Any], None], lost: Callable[[LaneLost], None]) -> None:
        self.job = job
        self.done = done
        self.lost = lost
        self.loop = asyncio.get_running_loop()
        self.settled = False


class _Raised:
    """What a job raised, where it should not have."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Lane:
    """One thread and the queue that it reads."""

    def __init__(self, pool: ThreadPool, queue: SimpleQueue[_Task | None], *, pinned: bool) -> None:
        self.pool = pool
        self.queue = queue
        self.pinned = pinned
        self.worlds = 0
        self.running: tuple[float, _Task] | None = None
        self.abandoned = False
        self.lock = threading.Lock()
        """Held while ``running`` changes, so that a lane is never abandoned between two jobs."""
        self.thread = threading.Thread(target=self._run, name=f"openenv-{'pinned' if pinned else 'lane'}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (task := self.queue.get()) is not None:
            self.running = (time.monotonic(), task)
            try:
                outcome = task.job()
            except BaseException as error:  # noqa: BLE001 - the lane's thread outlives whatever a job does
                outcome = _Raised(error)
            with self.lock:
                self.running = None
                leaves = self.abandoned
            if not self.pool.deliver(self, task, outcome) or leaves:
                return


class ThreadPool:
    """At most ``shared`` lanes for everybody and ``pinned`` for worlds with affinity, made when first needed."""

    def __init__(
        self, *, shared: int = THREADS, pinned: int = THREADS, hang_limit_s: float | None = 300.0, max_abandoned: int = 8
    ) -> None:
        self.shared_limit = shared
        self.pinned_limit = pinned
        self.hang_limit_s = hang_limit_s
        self.max_abandoned = max_abandoned
        self.abandoned = 0
        """Threads left behind that have not come back."""
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._shared: list[Lane] = []
        self._pinned: list[Lane] = []
        self._waiting = 0
        self._sweep: asyncio.TimerHandle | None = None

    def another(self) -> ThreadPool:
        """A pool with the same limits and threads of its own."""
        return ThreadPool(
            shared=self.shared_limit,
            pinned=self.pinned_limit,
            hang_limit_s=self.hang_limit_s,
            max_abandoned=self.max_abandoned,
        )

    def pin(self) -> Lane:
        """A lane for a world with affinity: the least used one. Give it back with `unpin`."""
        lane = min(self._pinned, key=lambda one: one.worlds, default=None)
        if lane is None or (lane.worlds and len(self._pinned) < self.pinned_limit - self.abandoned):
            self._check_room()
            lane = Lane(self, SimpleQueue(), pinned=True)
            self._pinned.append(lane)
        lane.worlds += 1
        return lane

    def unpin(self, lane: Lane) -> None:
        """A world with affinity has ended."""
        lane.worlds -= 1

    def submit(self, job: Job, done: Callable[[Any], None], lost: Callable[[LaneLost], None], lane: Lane | None = None) -> None:
        """Run ``job`` on a lane, then ``done`` with what it returned, or ``lost``, on the loop; one of them, once.

        Raises `Overloaded` when every thread that there may be was left behind.
        """
        task = _Task(job, done, lost)
        if lane is not None:
            if lane.abandoned:
                raise LaneLost("The thread of this environment hung; its world is gone", hint="Reset opens a new one.")
            lane.queue.put(task)
        else:
            if not self._shared:
                self._check_room()
            self._waiting += 1
            room = len(self._shared) < self.shared_limit and self.abandoned < self.max_abandoned
            if room and self._waiting > len(self._shared):
                self._shared.append(Lane(self, self._queue, pinned=False))
            self._queue.put(task)
        if self._sweep is None and self.hang_limit_s is not None:
            self._schedule_sweep()

    def deliver(self, lane: Lane, task: _Task, outcome: Any) -> bool:
        """Called by a lane's thread: hand the outcome to the loop. False when there is no loop any more."""
        try:
            task.loop.call_soon_threadsafe(self._settle, lane, task, outcome)
        except RuntimeError:
            return False
        return True

    def close(self) -> None:
        """Let every lane end after what it has begun."""
        for lane in self._shared:
            lane.queue.put(None)
        for lane in self._pinned:
            lane.queue.put(None)
        self._shared.clear()
        self._pinned.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _settle(self, lane: Lane, task: _Task, outcome: Any) -> None:
        if lane.abandoned:
            self.abandoned -= 1
            return
        if not lane.pinned:
            self._waiting -= 1
        if task.settled:
            return
        task.settled = True
        if isinstance(outcome, _Raised):
            log.error("a job raised", exc_info=outcome.error)
            task.lost(LaneLost(f"The environment ended its thread's work: {outcome.error!r}", hint="Open a new session."))
        else:
            task.done(outcome)

    def _check_room(self) -> None:
        if self.abandoned >= self.max_abandoned:
            raise Overloaded(
                f"{self.abandoned} threads hang in environments; no more are started",
                hint="Find the environment that does not return, or restart the server.",
                retry_after_s=30.0,
            )

    def _schedule_sweep(self) -> None:
        assert self.hang_limit_s is not None
        self._sweep = asyncio.get_running_loop().call_later(min(1.0, self.hang_limit_s / 4), self._look_for_hung)

    def _look_for_hung(self) -> None:
        self._sweep = None
        limit = self.hang_limit_s
        assert limit is not None
        now = time.monotonic()
        busy = False
        for lane in [*self._shared, *self._pinned]:
            running = lane.running
            if running is None:
                busy = busy or not lane.queue.empty()
                continue
            busy = True
            if now - running[0] > limit:
                self._abandon(lane, running, limit)
        if busy:
            self._schedule_sweep()

    def _abandon(self, lane: Lane, running: tuple[float, _Task], limit: float) -> None:
        with lane.lock:
            if lane.running is not running:
                return
            lane.abandoned = True
        task = running[1]
        self.abandoned += 1
        error = LaneLost(
            f"The environment did not return within {limit:g} s, the server's hang_limit_s; its world is lost",
            hint="Open a new session; where the work is meant to take so long, raise the server's limit, as in "
            "create_app(…, hang_limit_s=600).",
            details={"limit": "hang_limit_s", "limit_s": limit},
        )
        log.error("a lane hung for more than %g s and was abandoned (%d so far)", limit, self.abandoned)
        lost = [task]
        if lane.pinned:
            self._pinned.remove(lane)
            while not lane.queue.empty():
                waiting = lane.queue.get_nowait()
                if waiting is not None:
                    lost.append(waiting)
        else:
            self._waiting -= 1
            self._shared.remove(lane)
            if self.abandoned < self.max_abandoned:
                self._shared.append(Lane(self, self._queue, pinned=False))
            elif not self._shared:
                while not self._queue.empty():
                    waiting = self._queue.get_nowait()
                    if waiting is not None:
                        self._waiting -= 1
                        lost.append(waiting)
        for one in lost:
            if not one.settled:
                one.settled = True
                one.lost(error)
