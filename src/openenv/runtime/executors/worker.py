"""A worker process: it makes worlds, one at a time, and does to them what the server orders.

Its standard input is the socket to the server; the environment finds ``/dev/null`` there, and what it prints goes to the
server's standard error. The worker ends when the server does, whatever the environment is doing.
"""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import pickle
import resource
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any, Final, NoReturn

from openenv.errors import ExecutionFailed, OpenEnvError
from openenv.operation import Control, Notice, Result
from openenv.protocol.json import dump
from openenv.resident import resident_bytes
from openenv.runtime.executors import frames
from openenv.runtime.executors.answers import AnswerWriter, write_notice
from openenv.runtime.executors.orders import OrderReader, Plan
from openenv.runtime.grading import Deferred
from openenv.runtime.loaded import keep_loaded
from openenv.runtime.parent import end_with
from openenv.runtime.play import Play, drive
from openenv.runtime.raised import text_of
from openenv.runtime.specification import EnvironmentSpecification

__all__ = ["main"]

log = logging.getLogger("openenv.runtime")

_MIB: Final = 1024 * 1024


class _Link:
    """The blocking end of the socket to the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._kept = bytearray()
        self._buffer = memoryview(bytearray(262_144))
        self._sending = threading.Lock()

    def receive(self) -> tuple[int, int, bytes] | None:
        """The next frame, or None at the end."""
        kept = self._kept
        while len(kept) < frames.HEAD.size:
            if not self._more():
                return None
        length, kind, number = frames.HEAD.unpack_from(kept)
        end = frames.HEAD.size + length
        while len(kept) < end:
            if not self._more():
                return None
        payload = bytes(kept[frames.HEAD.size : end])
        del kept[:end]
        return kind, number, payload

    def _more(self) -> bool:
        count = self._socket.recv_into(self._buffer)
        self._kept += self._buffer[:count]
        return count > 0

    def send(self, kind: int, number: int, payload: bytes = b"") -> None:
        """Send a frame; from any thread. Nobody is there to be told of a server that is gone: the worker ends."""
        try:
            with self._sending:
                self._socket.sendall(frames.frame(kind, number, payload))
        except OSError:
            os._exit(0)


class _RemoteControl(Control):
    """The caller of the running operation, as the environment reaches it from here."""

    def __init__(self, link: _Link, number: int) -> None:
        self.on_event = None
        self.on_cancel = None
        self.dropped = 0
        self._cancelled = threading.Event()
        self._link = link
        self._number = number

    def tell(self, notice: Notice) -> None:
        payload = write_notice(notice)
        if len(payload) > frames.SAID_LIMIT:
            self.dropped += 1
            return
        self._link.send(frames.NOTICE, self._number, payload)


class Worker:
    """What runs in the process: a world, and before and after it none."""

    def __init__(self, link: _Link, plan: Plan, specification: EnvironmentSpecification) -> None:
        self._link = link
        self._memory = plan.memory_mb * _MIB
        self._specification = specification
        self._orders = OrderReader()
        self._answers = AnswerWriter()
        self._play: Play | None = None
        self._control: _RemoteControl | None = None
        self._threads = threading.active_count()
        signal.signal(frames.CANCEL_SIGNAL, self._cancelled)

    def run(self) -> None:
        """Do what the server orders, until it closes the socket."""
        while (order := self._link.receive()) is not None:
            kind, number, payload = order
            if kind == frames.PERFORM:
                self._perform(number, payload)
            elif kind == frames.OPEN:
                self._open(number, payload)
            elif kind == frames.CLOSE:
                self._close(number)

    def _open(self, number: int, payload: bytes) -> None:
        principal, context = self._orders.opening(payload)
        self._answers = AnswerWriter()
        specification = self._specification
        error: OpenEnvError
        try:
            environment = specification.make(context, principal)
        except OpenEnvError as raised:
            error = raised
        except BaseException:
            log.exception("the factory of %s raised", specification.name)
            error = specification.factory_failed()
        else:
            environment.on_tools_changed = lambda: self._link.send(frames.TOOLS, 0)
            environment.on_event = self._say
            self._play = Play(specification, environment)
            self._answer(number, "create", 0, Result(), self._play)
            return
        self._answer(number, "create", 0, Result(error=error), None)

    def _say(self, event: Any) -> None:
        try:
            payload = dump(event)
        except ExecutionFailed:
            log.exception("%s said what cannot be written as JSON", self._specification.name)
            return
        if len(payload) <= frames.SAID_LIMIT:
            self._link.send(frames.EVENT, 0, payload)

    def _perform(self, number: int, payload: bytes) -> None:
        play = self._play
        assert play is not None
        try:
            operation = self._orders.read(payload, lambda: _RemoteControl(self._link, number))
        except Exception as error:  # what unpickling raises is up to the classes in it
            log.exception("an operation of %s cannot be read", self._specification.name)
            failed = ExecutionFailed(f"the operation cannot be read in its worker process: {text_of(error)}")
            self._answer(number, "step", 0, Result(error=failed), play)
            return
        self._control = operation.control  # type: ignore[assignment]
        outcome = play.perform_now(operation)
        result = outcome.run() if isinstance(outcome, Deferred) else outcome
        self._control = None
        self._answer(number, operation.op, operation.seq, result, play)

    def _answer(self, number: int, op: str, seq: int, result: Result, play: Play | None) -> None:
        if (result.error is not None or result.tool_error is not None) and self._is_full():
            _die(self._link, "memory", "")
        steps, scenario = 0, None
        if play is not None:
            counted = play.environment.step_count
            steps = counted if type(counted) is int and 0 <= counted < 1 << 32 else 0  # it is the environment's to change
            scenario = play.scenario.id if play.scenario is not None else None
        payload = self._answers.write(result, op, seq=seq, steps=steps, scenario=scenario)
        self._link.send(frames.RESULT, number, payload)

    def _close(self, number: int) -> None:
        play, self._play = self._play, None
        if play is not None:
            drive(play.close())
        del play
        gc.collect()
        clean = threading.active_count() <= self._threads and not self._is_full(0.5)
        self._link.send(frames.CLOSED, number, b"\1" if clean else b"\0")

    def _is_full(self, share: float = 1.0) -> bool:
        """Whether the process holds what it may, or a share of it."""
        return 0 < self._memory * share <= resident_bytes()

    def _cancelled(self, _: int, __: FrameType | None) -> None:
        if self._control is not None:
            self._control._cancelled.set()


def main() -> None:
    """Serve the environment of the first frame until the socket is closed."""
    link = _Link(_take_socket())
    first = link.receive()
    if first is None:
        return
    plan: Plan = pickle.loads(first[2])  # from the server
    end_with(plan.server_pid)
    try:
        specification = plan.specification()
    except BaseException as error:
        log.exception("a worker process of %s could not load its environment", plan.name)
        _die(link, "start", f"{type(error).__name__}: {text_of(error)}")
    if plan.memory_mb and resident_bytes() >= plan.memory_mb * _MIB:
        _die(link, "start", f"it holds {resident_bytes() // _MIB} MiB before it has begun, and {plan.memory_mb} MiB is its limit")
    _limit(plan.memory_mb * _MIB)
    worker = Worker(link, plan, specification)
    keep_loaded()
    link.send(frames.READY, 0)
    try:
        worker.run()
    except MemoryError:
        _die(link, "memory", "")
    if worker._play is not None:  # the server is gone
        os._exit(0)


def _take_socket() -> socket.socket:
    """Move the socket from standard input to where no environment looks for it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 64 if most == resource.RLIM_INFINITY else min(64, most - 1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.setsid()
    return socket.socket(fileno=descriptor)


def _limit(memory: int) -> None:
    """No core files; and what is asked for far beyond the limit is refused, before somebody has looked."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory and sys.platform == "linux":
        most = memory + max(memory // 4, 64 * _MIB)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _die(link: _Link, kind: str, text: str) -> NoReturn:
    link.send(frames.DYING, 0, json.dumps({"kind": kind, "text": text[:4096]}).encode())
    os._exit(1)
