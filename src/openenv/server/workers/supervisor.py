"""The process that the user started: it starts the workers, links them, and ends with the last of them."""

from __future__ import annotations

import json
import logging
import os
import secrets
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from openenv.errors import ConfigurationError, OpenEnvError
from openenv.middleware import JsonLog
from openenv.middleware.log_records import take_records
from openenv.middleware.shared_buckets import SharedBuckets
from openenv.runtime.census import Census
from openenv.server.run import LAST_S, announce, cannot_listen, family_of
from openenv.server.workers.channel import Kind, pair, receive, transmit
from openenv.server.workers.worker import MOST_TABLES, Berth

__all__ = ["BERTH", "Supervisor"]

log = logging.getLogger("openenv.workers")

BERTH = "OPENENV_WORKER"
"""The variable in which a worker finds its `Berth`, as JSON, with ``parent`` beside it. It removes it at once."""

_SOON_S = 10.0
"""A worker that ends sooner after its start than this has failed to start, as has one that never served."""
_MOST_FAILURES = 5
"""Starts in a row that may fail."""
_LONGEST_PAUSE_S = 10.0
"""Between two attempts to start a worker while the system has no process, memory or file for it."""
_GRACE_S = 2.0
"""How much later than a worker ends itself it is killed."""


@dataclass(slots=True)
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    control: socket.socket
    began: float
    linked: bool = False
    """Whether it has said hello."""
    going: bool = False
    """Whether it was told that it is linked to all others."""
    ready: bool = False


@dataclass(slots=True)
class _Slot:
    """A worker's place, whoever has it."""

    number: int
    worker: _Worker | None = None
    starts: int = 0
    failures: int = 0
    refusals: int = 0
    """Attempts in a row at which the system had no process for it."""
    due: float = 0.0
    """When to start the next one."""


@dataclass(slots=True)
class Supervisor:
    """Runs a server of several workers.

    Args:
        command: The program of a worker, which calls `openenv.server.workers.worker.work` in the end.
        options: What a worker is told first; ``secret`` is added.
        workers: How many.
        host: The address to listen on.
        port: The port; 0 takes a free one, the same for all.
        drain_s: As `openenv.server.serve` has it.
    """

    command: Sequence[str]
    options: Mapping[str, Any]
    workers: int
    host: str
    port: int
    drain_s: float = 30.0
    _slots: list[_Slot] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _secret: str = field(default_factory=lambda: secrets.token_hex(32))
    _signals: list[int] = field(default_factory=list)
    _first_signal: int | None = None
    _deadline: float | None = None
    """When workers that have not ended are killed."""
    _failure: OpenEnvError | None = None
    _reserved: socket.socket = field(init=False)
    _census: Census = field(init=False)
    _census_fd: int = -1
    _announced: bool = False

    def run(self) -> None:
        """Serve until a signal ends it; the process ends by that signal then, as it does with one worker.

        Raises `ConfigurationError` for an address that cannot be listened on and for what a worker cannot be made of, and
        `OpenEnvError` when workers do not start.
        """
        if not hasattr(os, "memfd_create") or not hasattr(socket, "SO_REUSEPORT"):
            raise ConfigurationError("several workers need Linux", field="workers", hint="Leave --workers away.")
        self._reserved = self._reserve()
        self._census_fd = Census.create(self.workers, MOST_TABLES * SharedBuckets.SIZE)
        self._census = Census(self._census_fd, 0, self.workers)
        self._slots = [_Slot(number) for number in range(self.workers)]
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(64))
        before = {each: signal.signal(each, self._signalled) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
        earlier_fd = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            self._supervise()
        finally:
            self._kill_all()
            signal.set_wakeup_fd(earlier_fd)
            for each, handler in before.items():
                signal.signal(each, handler)
            for end in (wake, woken, self._reserved):
                end.close()
            self._selector.close()
        if self._failure is not None:
            raise self._failure
        if self._first_signal is not None:
            signal.raise_signal(self._first_signal)

    def _supervise(self) -> None:
        while True:
            now = time.monotonic()
            if self._deadline is None:
                for slot in self._slots:
                    if slot.worker is None and slot.due <= now and self._deadline is None:
                        self._try_to_start(slot)
            elif all(slot.worker is None for slot in self._slots):
                return
            elif now >= self._deadline:
                log.error("workers that hang are killed")
                return
            for key, _ in self._selector.select(self._pause(now)):
                key.data()
            while self._signals:
                self._stop(self._signals.pop(0))
            for slot in self._slots:
                if slot.worker is not None and slot.worker.process.poll() is not None:
                    self._ended(slot, slot.worker)

    def _pause(self, now: float) -> float | None:
        """Seconds until something is to be done unasked."""
        if self._deadline is not None:
            return max(self._deadline - now, 0.0)
        due = [slot.due for slot in self._slots if slot.worker is None]
        return max(min(due) - now, 0.0) if due else None

    def _try_to_start(self, slot: _Slot) -> None:
        """Start a worker. While the system refuses, the others go on, and it is tried again; at the beginning there are none."""
        try:
            self._start(slot)
        except OSError as error:
            told = f"worker {slot.number} cannot be started: {error}"
            if not self._announced:
                self._failure = self._failure or OpenEnvError(told)
                self._stop(None)
                return
            pause = min(0.1 * 2 ** min(slot.refusals, 10), _LONGEST_PAUSE_S)
            slot.refusals += 1
            slot.due = time.monotonic() + pause
            log.error("%s; it is tried again in %g s", told, pause)
        else:
            slot.refusals = 0

    def _start(self, slot: _Slot) -> None:
        ours, theirs = pair()
        try:
            with theirs, self._bind(self._reserved.getsockname()[1]) as listener:
                files = Berth(slot.number, self.workers, slot.starts, theirs.fileno(), listener.fileno(), self._census_fd)
                process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, BERTH: json.dumps(asdict(files) | {"parent": os.getpid()})},
                    pass_fds=(files.control, files.listener, files.census),
                    process_group=0,  # a terminal's signals are the supervisor's alone
                )
        except OSError:
            ours.close()
            raise
        worker = slot.worker = _Worker(slot.number, process, ours, time.monotonic())
        slot.starts += 1
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(slot, worker))
        self._tell(worker, {**self.options, "secret": self._secret})

    def _hear(self, slot: _Slot, worker: _Worker) -> None:
        try:
            told = receive(worker.control)
        except OSError:
            told = None
        except ValueError as error:
            log.error("worker %d sends what is no message and is ended: %s", worker.number, error)
            worker.process.kill()
            return
        if told is None:  # its process ends
            self._selector.unregister(worker.control)
            return
        if "failed" in told:
            self._failure = self._failure or ConfigurationError(**told["failed"])
        elif "hello" in told:
            self._link(worker)
        elif "ready" in told:
            worker.ready = True
            if told.get("json_log"):
                take_records([JsonLog(told["ready"])])
            if slot.starts > 1:
                log.warning("worker %d serves again", worker.number)
            if not self._announced and all(one.worker is not None and one.worker.ready for one in self._slots):
                self._announced = True
                announce(told["ready"], self.host, self._reserved.getsockname()[1], told["remark"])

    def _link(self, new: _Worker) -> None:
        """Make a way between this worker and every other one; who has a way to all may serve."""
        new.linked = True
        if self._deadline is not None:  # it was too young to be told
            self._tell(new, {"stop": True})
            return
        alive = [slot.worker for slot in self._slots if slot.worker is not None]
        for other in alive:
            if other is new or not other.linked:
                continue
            ends = pair()
            for worker, peer, end in ((new, other, ends[0]), (other, new, ends[1])):
                self._tell(worker, {"link": peer.number}, end)
                end.close()
        self._let_go()

    def _let_go(self) -> None:
        alive = [slot.worker for slot in self._slots if slot.worker is not None]
        if all(worker.linked for worker in alive):
            for worker in alive:
                if not worker.going:
                    worker.going = True
                    self._tell(worker, {"go": True})

    def _tell(self, worker: _Worker, what: Any, end: socket.socket | None = None) -> None:
        try:
            transmit(worker.control, Kind.TOLD, what, end)
        except OSError:
            log.debug("worker %d is gone already", worker.number)

    def _ended(self, slot: _Slot, worker: _Worker) -> None:
        """A worker's process has ended."""
        if worker.control in self._selector.get_map():
            self._hear(slot, worker)  # its last words
        if worker.control in self._selector.get_map():
            self._selector.unregister(worker.control)
        worker.control.close()
        slot.worker = None
        sessions = self._census.active(slot.number)
        self._census.write(slot.number, 0, 0)
        if self._deadline is not None:
            return
        code = worker.process.returncode
        how = f"signal {-code}" if code < 0 else f"code {code}"
        if self._failure is not None or not self._announced:
            self._failure = self._failure or OpenEnvError(f"worker {slot.number} ended with {how} before it served")
            self._stop(None)
            return
        lived = time.monotonic() - worker.began
        slot.failures = slot.failures + 1 if lived < _SOON_S or not worker.ready else 0
        if slot.failures >= _MOST_FAILURES:
            self._failure = OpenEnvError(f"worker {slot.number} ended with {how} at its start, {slot.failures} times in a row")
            self._stop(None)
            return
        log.error("worker %d ended with %s: %d sessions are lost; it is started anew", slot.number, how, sessions)
        slot.due = time.monotonic() + (0.1 * 2**slot.failures if slot.failures else 0.0)
        self._let_go()

    def _signalled(self, sig: int, frame: object) -> None:
        if sig != signal.SIGCHLD:
            self._signals.append(sig)

    def _stop(self, sig: int | None) -> None:
        """Tell every worker to drain; for the second time, not to wait."""
        if self._first_signal is None:
            self._first_signal = sig
        if self._deadline is None:
            self._deadline = time.monotonic() + self.drain_s + LAST_S + _GRACE_S
        for slot in self._slots:
            if slot.worker is None:
                continue
            if slot.worker.linked:
                self._tell(slot.worker, {"stop": True})
            else:  # it is still being made
                slot.worker.process.terminate()

    def _kill_all(self) -> None:
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.process.kill()
                slot.worker.process.wait()
                slot.worker.control.close()

    def _reserve(self) -> socket.socket:
        """A socket that has the port and does not listen: the port stays this server's whatever its workers do.

        Ports that another server listens on are refused, which those that let others listen too would not be.
        """
        try:
            with socket.create_server((self.host, self.port), family=family_of(self.host)) as probe:
                port = probe.getsockname()[1]
            return self._bind(port)
        except OSError as error:
            raise cannot_listen(self.host, self.port, error) from None

    def _bind(self, port: int) -> socket.socket:
        made = socket.socket(family_of(self.host), socket.SOCK_STREAM)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((self.host, port))
        return made
