"""A worker process as the server sees it: started, given orders, watched, ended. Used on the event loop only."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Set
from contextlib import suppress
from typing import Any, Final, Literal, Protocol, cast

from openenv.encoded import value_of
from openenv.errors import FactoryFailed, LaneLost, OpenEnvError
from openenv.operation import Control, Operation
from openenv.resident import resident_bytes
from openenv.runtime.executors import frames
from openenv.runtime.executors.answers import Answer, AnswerReader, read_notice
from openenv.runtime.executors.losses import Limit, crashed, hung, none_loaded, out_of_memory, senseless
from openenv.runtime.executors.spawning import has_ended, spawn

__all__ = ["Holder", "OnLost", "WorkerProcess"]

log = logging.getLogger("openenv.runtime")

_SAID_BYTES: Final = 262_144
"""Bytes of notices and events that are read between two looks; a worker that says more is read again at the next one."""
_AFTER_EXIT_S: Final = 0.05
"""For how long what an ended process has written is still read, where a child of it holds the socket open."""
_MIB: Final = 1024 * 1024

Done = Callable[[Answer], None]
OnLost = Callable[["WorkerProcess", LaneLost], None]
"""Told of every process that ends before it was asked to, while its world still has its sessions."""


class Holder(Protocol):
    """Whose world is in a worker."""

    @property
    def sessions(self) -> Set[str]:
        """Those of the world."""
        ...

    def worker_lost(self, error: LaneLost) -> None:
        """The worker is gone, and the world with it."""

    def worker_said(self, event: Any) -> None:
        """The environment says something unasked."""

    def worker_tools_changed(self) -> None:
        """The environment has other tools now."""


class WorkerProcess(asyncio.Protocol):
    """One process.

    Args:
        plan: What it is to serve.
        memory_mb: What it may hold.
        start_limit_s: How long it may take to load the environment.
        on_change: Told when it has become free, or is gone.
        on_lost: Told why, when it ends and was not to.

    Raises:
        OSError: there can be no other process or open file.
    """

    def __init__(
        self, plan: bytes, *, memory_mb: int, start_limit_s: float, on_change: Callable[[WorkerProcess], None], on_lost: OnLost
    ) -> None:
        self.state: Literal["starting", "free", "held", "closing", "ending", "gone"] = "starting"
        self.episodes = 0
        self.clean = True
        """Whether the last world left nothing behind: no thread, and not half of the memory that there may be."""
        self.failure: OpenEnvError | None = None
        """Why it never became free."""
        self.holder: Holder | None = None
        self.pid, self._pidfd, ours = spawn()
        self._limit = Limit("start_limit_s", start_limit_s)
        self._expires = time.monotonic() + start_limit_s
        self._doing = "loading"
        self._memory_mb = memory_mb
        self._on_change = on_change
        self._on_lost = on_lost
        self._done: Done | None = None
        self._closed: Callable[[], None] | None = None
        self._control: Control | None = None
        self._number = self._said = 0
        self._reader = frames.FrameReader()
        self._answers = AnswerReader()
        self._transport: asyncio.Transport | None = None
        self._status: int | None = None
        self._at_end = False
        self._loop = asyncio.get_running_loop()
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._exited)
        self._plan = plan
        self._connecting = self._loop.create_task(self._connect(ours))

    async def _connect(self, ours: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=ours)

    # Orders.

    def is_ready(self) -> bool:
        """Whether it can be given a world: it may have ended while it waited, and that may not have been told yet."""
        if has_ended(self.pid):
            self.lose(senseless("ended while it waited for a world"))
            return False
        return True

    def open(self, holder: Holder, order: bytes, limit: Limit, done: Done) -> None:
        """Make a world in it, for this holder."""
        self.state = "held"
        self.holder = holder
        self._answers = AnswerReader()
        self.episodes += 1
        self._order(frames.OPEN, "factory", order, limit, done)

    def perform(self, operation: Operation, order: bytes, limit: Limit, done: Done) -> None:
        """Do an operation; when its limit has passed, the process is ended."""
        control = operation.control
        if control is not None:
            self._control = control
            control.on_cancel = self._interrupt
        if operation.op == "reset" or operation.op == "load_scenario":
            self.episodes += 1
        self._order(frames.PERFORM, operation.op, order, limit, done)

    def hurry(self, limit: Limit) -> None:
        """Nobody waits any more for what it is doing: so long it may still take, if not less."""
        expires = time.monotonic() + limit.seconds
        if expires < self._expires:
            self._expires, self._limit = expires, limit

    def close(self, limit: Limit, closed: Callable[[], None]) -> None:
        """End its world, then ``closed``: also when the process is lost meanwhile."""
        self.state = "closing"
        self.holder = None
        self._closed = closed
        self._order(frames.CLOSE, "close", b"", limit, None)

    def retire(self) -> None:
        """Let a process without a world end by itself; it is killed when it has not within a second."""
        self.state = "ending"
        self._expires = time.monotonic() + 1.0
        if self._transport is not None:
            self._transport.close()

    def _order(self, kind: int, doing: str, payload: bytes, limit: Limit, done: Done | None) -> None:
        assert self._transport is not None
        self._number += 1
        self._done = done
        self._doing = doing
        self._limit = limit
        self._expires = time.monotonic() + limit.seconds + limit.grace_s
        self._transport.write(frames.frame(kind, self._number, payload))

    def _interrupt(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, frames.CANCEL_SIGNAL)

    def _forget_control(self) -> None:
        if self._control is not None:
            self._control.on_cancel = None
            self._control = None

    # What it sends.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derives from none of asyncio's
        if self.state != "starting":
            self._transport.abort()
            return
        self._transport.write(frames.frame(frames.PLAN, 0, self._plan))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, number, payload in self._reader.feed(data):
                self._take(kind, number, payload)
        except (ValueError, RecursionError) as error:
            log.error("worker process %d sends what is no answer: %s", self.pid, str(error)[:300])
            self.lose(senseless("sent what is no answer"))

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if self.state in ("ending", "gone"):
            return
        if kind == frames.RESULT:
            self._take_result(number, payload)
        elif kind in (frames.NOTICE, frames.EVENT, frames.TOOLS):
            self._take_said(kind, number, payload)
        elif kind == frames.READY and self.state == "starting":
            self._become_free()
        elif kind == frames.CLOSED and self.state == "closing" and number == self._number:
            self.clean = payload == b"\1"
            self._become_free()
        elif kind == frames.DYING:
            self._take_dying(payload)
        else:
            raise ValueError(f"a frame of kind {kind} to nothing that was asked")

    def _take_result(self, number: int, payload: bytes) -> None:
        done = self._done
        if done is None or number != self._number:
            raise ValueError("an answer to nothing that was asked")
        answer = self._answers.read(payload)
        self._done = None
        self._expires = math.inf
        self._forget_control()
        done(answer)

    def _take_said(self, kind: int, number: int, payload: bytes) -> None:
        self._said += len(payload) + frames.HEAD.size
        if self._said > _SAID_BYTES and self._transport is not None:
            self._transport.pause_reading()
        if kind == frames.NOTICE:
            notice = read_notice(payload)
            if self._control is not None and number == self._number:
                self._control.tell(notice)
        elif self.holder is not None:
            if kind == frames.TOOLS:
                self.holder.worker_tools_changed()
            else:
                self.holder.worker_said(value_of(payload))

    def _take_dying(self, payload: bytes) -> None:
        told = value_of(payload)
        if not isinstance(told, dict):
            raise ValueError("a farewell without a reason")
        if told.get("kind") == "memory":
            self.lose(out_of_memory(self._memory_mb))
        elif self.state != "starting" or self.failure is not None:
            raise ValueError("a farewell of one that has begun")
        else:
            self.failure = FactoryFailed(
                "A worker process could not load the environment", hint="The server's log tells why: it was refused there."
            )
            log.error("worker process %d could not load the environment: %s", self.pid, str(told.get("text"))[:4096])

    def _become_free(self) -> None:
        closed, self._closed = self._closed, None
        self.state = "free"
        self._expires = math.inf
        self._on_change(self)
        if closed is not None:
            closed()

    # Its end.

    def look(self, now: float) -> None:
        """End it when it has run too long, or holds too much."""
        if self._said:
            if self._said > _SAID_BYTES and self._transport is not None and not self._at_end:
                self._transport.resume_reading()
            self._said = 0
        if now > self._expires:
            if self.state == "starting":
                self.failure = none_loaded(self._limit)
            self.lose(hung(self._doing, self._limit))
        elif self._memory_mb and self.state in ("held", "closing") and resident_bytes(self.pid) >= self._memory_mb * _MIB:
            self.lose(out_of_memory(self._memory_mb))

    def lose(self, error: LaneLost) -> None:
        """Kill it, with every process that it has started and that stayed in its group, and tell whose world is lost."""
        if self.state == "gone":
            return
        if self.state != "ending":
            self._on_lost(self, error)
        self.state = "ending"
        self._expires = math.inf
        self.kill()
        self._tell(error)

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _tell(self, error: LaneLost) -> None:
        holder, self.holder = self.holder, None
        closed, self._closed = self._closed, None
        self._forget_control()
        self._done = None
        if holder is not None:
            holder.worker_lost(error)
        if closed is not None:
            closed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: by its end, or by itself, which is the end of it too."""
        self._at_end = True
        if self._status is not None:
            self._gone()
        elif self.state not in ("ending", "gone"):
            self._loop.call_later(_AFTER_EXIT_S, self._end_mute)
        if self._pidfd < 0:
            self._loop.call_later(_AFTER_EXIT_S, self._exited)

    def _end_mute(self) -> None:
        if self._status is None and self.state not in ("ending", "gone"):
            self.lose(senseless("closed its socket to the server"))

    def _exited(self) -> None:
        """The process has ended: reap it, and read what it has written."""
        if self._pidfd < 0 and self._status is None and not has_ended(self.pid):
            self._loop.call_later(_AFTER_EXIT_S, self._exited)
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # what it has started; its id is its own until it is reaped
        try:
            self._status = os.waitpid(self.pid, 0)[1]
        except ChildProcessError:  # somebody else of this program has
            self._status = 0
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._at_end or self._transport is None:
            self._gone()
        else:
            self._transport.resume_reading()
            self._loop.call_later(_AFTER_EXIT_S, self._gone)

    def _gone(self) -> None:
        if self.state == "gone":
            return
        crash = crashed(self._status or 0)
        if self.state != "ending":
            self._on_lost(self, crash)
        if self.state == "starting" and self.failure is None:
            self.failure = FactoryFailed(
                f"A worker process ended before it had begun: {crash.message}", hint="See the server's log."
            )
        self.state = "gone"
        self._tell(crash)
        if self._transport is not None:
            self._transport.abort()
        self._on_change(self)
