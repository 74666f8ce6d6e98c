"""A worker process as the server sees it: started, given orders, watched, ended. Used on the event loop only."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

from openenv.encoded import value_of
from openenv.errors import FactoryFailed, LaneLost, OpenEnvError, WorkerCrashed, WorkerMemory, WorkerTimeout
from openenv.operation import Control, Operation
from openenv.runtime.executors import frames
from openenv.runtime.executors.answers import Answer, AnswerReader, read_notice

__all__ = ["Holder", "WorkerProcess", "keep_from_workers"]

log = logging.getLogger("openenv.runtime")

_BOOT: Final = (
    "import os, sys; os.closerange(3, 1 << 20); import json; sys.path[:] = json.loads(sys.argv[1]); "
    "from openenv.runtime.executors.worker import main; main()"
)
_SECRET: Final = re.compile(r"OPENENV_\w*(SECRET|KEY|TOKEN)")
_hidden: set[str] = set()
_SAID_BYTES: Final = 262_144
"""Bytes of notices and events that are read between two looks; a worker that says more is read again at the next one."""
_AFTER_EXIT_S: Final = 0.05
"""For how long what an ended process has written is still read, where a child of it holds the socket open."""
_MIB: Final = 1024 * 1024
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

Done = Callable[[Answer], None]


def keep_from_workers(variable: str) -> None:
    """Leave a variable with a secret of the server's out of what worker processes inherit."""
    _hidden.add(variable)


class Holder(Protocol):
    """Whose world is in a worker."""

    def worker_lost(self, error: LaneLost) -> None:
        """The worker is gone, and the world with it."""

    def worker_said(self, event: Any) -> None:
        """The environment says something unasked."""

    def worker_tools_changed(self) -> None:
        """The environment has other tools now."""


class WorkerProcess(asyncio.Protocol):
    """One process. ``on_change`` is told when it has become free, or is gone."""

    def __init__(self, plan: bytes, *, memory_mb: int, start_limit_s: float, on_change: Callable[[WorkerProcess], None]) -> None:
        self.state: Literal["starting", "free", "held", "closing", "ending", "gone"] = "starting"
        self.episodes = 0
        self.clean = True
        """Whether the last world left nothing behind: no thread, and not half of the memory that there may be."""
        self.failure: OpenEnvError | None = None
        """Why it never became free."""
        self.expires = time.monotonic() + start_limit_s
        self._limit_s = start_limit_s
        self._memory_mb = memory_mb
        self._on_change = on_change
        self._holder: Holder | None = None
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
        ours, theirs = socket.socketpair()
        self.pid = 0
        with theirs:
            try:
                self.pid = _spawn(theirs.fileno())
                self._pidfd = os.pidfd_open(self.pid) if sys.platform == "linux" else -1
            except OSError:
                ours.close()
                if self.pid:  # too many files are open: nobody would see to its end
                    os.kill(self.pid, signal.SIGKILL)
                    os.waitpid(self.pid, 0)
                raise
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._exited)
        self._plan = plan
        self._connecting = self._loop.create_task(self._connect(ours))

    async def _connect(self, ours: socket.socket) -> None:
        await self._loop.create_unix_connection(lambda: self, sock=ours)

    # Orders.

    def open(self, holder: Holder, order: bytes, limit_s: float | None, done: Done) -> None:
        """Make a world in it, for this holder."""
        self.state = "held"
        self._holder = holder
        self._answers = AnswerReader()
        self.episodes += 1
        self._order(frames.OPEN, order, limit_s, done)

    def perform(self, operation: Operation, order: bytes, limit_s: float | None, done: Done, *, grace_s: float = 0.0) -> None:
        """Do an operation; when its limit has passed, and the grace after it, the process is ended."""
        control = operation.control
        if control is not None:
            self._control = control
            control.on_cancel = self._interrupt
        if operation.op == "reset" or operation.op == "load_scenario":
            self.episodes += 1
        self._order(frames.PERFORM, order, limit_s, done)
        self.expires += grace_s

    def hurry(self, limit_s: float) -> None:
        """Nobody waits any more for what it is doing: so long it may still take, if not less."""
        expires = time.monotonic() + limit_s
        if expires < self.expires:
            self.expires, self._limit_s = expires, limit_s

    def close(self, limit_s: float | None, closed: Callable[[], None]) -> None:
        """End its world, then ``closed``: also when the process is lost meanwhile."""
        self.state = "closing"
        self._holder = None
        self._closed = closed
        self._order(frames.CLOSE, b"", limit_s, None)

    def retire(self) -> None:
        """Let a process without a world end by itself; it is killed when it has not within a second."""
        self.state = "ending"
        self.expires = time.monotonic() + 1.0
        if self._transport is not None:
            self._transport.close()

    def _order(self, kind: int, payload: bytes, limit_s: float | None, done: Done | None) -> None:
        assert self._transport is not None
        self._number += 1
        self._done = done
        self._limit_s = math.inf if limit_s is None else limit_s
        self.expires = time.monotonic() + self._limit_s
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
            self.lose(WorkerCrashed("The environment's worker process sent what is no answer; its world is lost", hint=_AGAIN))

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
        self.expires = math.inf
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
        elif self._holder is not None:
            if kind == frames.TOOLS:
                self._holder.worker_tools_changed()
            else:
                self._holder.worker_said(value_of(payload))

    def _take_dying(self, payload: bytes) -> None:
        told = value_of(payload)
        if not isinstance(told, dict):
            raise ValueError("a farewell without a reason")
        if told.get("kind") == "memory":
            self.lose(self._out_of_memory())
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
        self.expires = math.inf
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
        if now > self.expires:
            if self.state == "starting":
                self.failure = FactoryFailed(
                    f"A worker process did not load the environment within {self._limit_s:g} s", hint="See the server's log."
                )
            self.lose(
                WorkerTimeout(
                    f"The environment did not return within {self._limit_s:g} s; its process was ended, and its world is lost",
                    hint="Open a new session; raise the hang limit if the work is meant to take so long.",
                    details={"limit_s": self._limit_s} if math.isfinite(self._limit_s) else None,
                )
            )
        elif self._memory_mb and self.state in ("held", "closing") and self._resident_mb() >= self._memory_mb:
            self.lose(self._out_of_memory())

    def lose(self, error: LaneLost) -> None:
        """Kill it, with every process that it has started and that stayed in its group, and tell whose world is lost."""
        if self.state == "gone":
            return
        if self.state != "ending":
            log.error("worker process %d (%s) is lost: %s", self.pid, self.state, error.message)
        self.state = "ending"
        self.expires = math.inf
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
        holder, self._holder = self._holder, None
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
            self.lose(WorkerCrashed("The environment closed its worker process's socket; its world is lost", hint=_AGAIN))

    def _exited(self) -> None:
        """The process has ended: reap it, and read what it has written."""
        if self._pidfd < 0 and self._status is None and not _has_ended(self.pid):
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
        crash = _crash(self._status or 0)
        if self.state != "ending":
            log.error("worker process %d (%s) has ended: %s", self.pid, self.state, crash.message)
        if self.state == "starting" and self.failure is None:
            self.failure = FactoryFailed(
                f"A worker process ended before it had begun: {crash.message}", hint="See the server's log."
            )
        self.state = "gone"
        self._tell(crash)
        if self._transport is not None:
            self._transport.abort()
        self._on_change(self)

    def _out_of_memory(self) -> WorkerMemory:
        return WorkerMemory(
            f"The environment held more than {self._memory_mb} MiB; its worker process was ended, and its world is lost",
            hint="Open a new session; find what grows, or raise its process_memory_mb.",
            details={"limit_mb": self._memory_mb},
        )

    def _resident_mb(self) -> float:
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]) * _PAGE / _MIB
        except (OSError, IndexError):
            return 0.0


_AGAIN: Final = "Open a new session."


def _spawn(connection: int) -> int:
    """Start a worker whose standard input is this end of a socket pair: its process id.

    Not ``subprocess``: that would close every inherited descriptor one by one, and warns of what outlives its object.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _hidden and not _SECRET.fullmatch(name)}
    flags = ["-O"] * sys.flags.optimize
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *flags, "-c", _BOOT, json.dumps(sys.path)],
        environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, connection, 0), (os.POSIX_SPAWN_DUP2, 2, 1)],
    )


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _crash(status: int) -> WorkerCrashed:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return WorkerCrashed(
            f"The environment's worker process was ended by {name}; its world is lost", hint=_AGAIN, details={"signal": name}
        )
    code = os.WEXITSTATUS(status)
    return WorkerCrashed(
        f"The environment ended its worker process with exit code {code}; its world is lost",
        hint=_AGAIN,
        details={"exit_code": code},
    )
