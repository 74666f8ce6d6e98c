"""An agent's process, talked to in lines."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Final

from openenv.core.harness.adapter import HarnessNotRunningError, HarnessStartupError

__all__ = ["HarnessProcess"]

log = logging.getLogger("openenv.core.harness")

STDERR_LINES: Final = 50
"""The last lines of its errors that are kept."""
WAITING_LINES: Final = 10_000
"""Lines of its output that may wait to be read; beyond them the process waits."""


class HarnessProcess:
    """A process with lines in and lines out, usable from any event loop, or from several, one after the other.

    It has a process group of its own, which is stopped as a whole.

    Args:
        command: The program and its arguments.
        cwd: Its working directory.
        env_vars: Variables over those of this process.
        startup_timeout_s: Seconds for it to become ready.
        terminate_grace_s: Seconds from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        command: list[str],
        cwd: str,
        env_vars: dict[str, str] | None = None,
        startup_timeout_s: float = 30.0,
        terminate_grace_s: float = 5.0,
    ) -> None:
        self._command = list(command)
        self._cwd = cwd
        self._env_vars = dict(env_vars or {})
        self._startup_timeout_s = startup_timeout_s
        self._grace_s = terminate_grace_s
        self._process: subprocess.Popen[str] | None = None
        self._lines = _Lines()
        self._errors: deque[str] = deque(maxlen=STDERR_LINES)
        self._readers: list[threading.Thread] = []
        self._writing = threading.Lock()

    async def start(self, ready_check: Callable[[str], bool] | None = None) -> None:
        """Start it and read its lines until one satisfies ``ready_check``; without a check it is ready at once.

        Raises:
            HarnessStartupError: It runs already, cannot be started, ended before it was ready, or took too long.
        """
        if self.is_running():
            raise HarnessStartupError("harness process is already running: stop() it first")
        await asyncio.to_thread(self._spawn)
        if ready_check is None:
            return
        try:
            await self._until_ready(ready_check)
        except BaseException:
            await self.stop()
            raise

    async def read_line(self, timeout_s: float | None = None) -> str | None:
        """The next line of its output without its end; None after the last one, or when there was none in time."""
        return await self._lines.get(timeout_s)

    async def write_line(self, text: str) -> None:
        """Write a line to its input; a newline is added where there is none.

        Raises:
            HarnessNotRunningError: It does not run, or does not listen any more.
        """
        process = self._process
        if process is None or process.poll() is not None or process.stdin is None:
            raise HarnessNotRunningError("cannot write to harness process: it is not running")
        line = text if text.endswith("\n") else f"{text}\n"
        try:
            await asyncio.to_thread(self._write, process.stdin, line)
        except (OSError, ValueError) as error:
            raise HarnessNotRunningError(f"harness process stdin is closed: {error}") from error

    async def stop(self) -> None:
        """End it: SIGTERM to its group, and SIGKILL when the grace is over. One that does not run is left alone."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(self._end, process)

    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def drain_stderr(self) -> str:
        """The last lines that it wrote to its errors."""
        return "".join(self._errors)

    def _spawn(self) -> None:
        self._lines, self._errors = _Lines(), deque(maxlen=STDERR_LINES)
        try:
            process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env={**os.environ, **self._env_vars},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as error:
            program = self._command[0] if self._command else "nothing: the command is empty"
            raise HarnessStartupError(f"failed to spawn harness process ({program}, in {self._cwd}): {error}") from error
        self._process = process
        self._readers = [
            _reader(process.stdout, self._lines.put, self._lines.close),
            _reader(process.stderr, self._errors.append, lambda: None),
        ]

    async def _until_ready(self, ready_check: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + self._startup_timeout_s
        while (left := deadline - time.monotonic()) > 0:
            line = await self.read_line(timeout_s=left)
            if line is not None and ready_check(line):
                return
            if line is None and self._lines.ended:
                raise HarnessStartupError(await self._early_end(max(0.0, deadline - time.monotonic())))
        raise HarnessStartupError(f"harness did not become ready within {self._startup_timeout_s}s{self._last_words()}")

    async def _early_end(self, wait_s: float) -> str:
        process = self._process
        try:
            code = None if process is None else await asyncio.to_thread(process.wait, wait_s)
        except subprocess.TimeoutExpired:
            return f"harness closed its output during startup{self._last_words()}"
        for reader in self._readers:
            await asyncio.to_thread(reader.join, 1.0)
        return f"harness exited with code {code} during startup{self._last_words()}"

    def _last_words(self) -> str:
        said = self.drain_stderr().strip()
        return f"; its last errors: {said[-1000:]}" if said else ""

    def _write(self, stdin: IO[str], line: str) -> None:
        with self._writing:
            stdin.write(line)
            stdin.flush()

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                log.info("harness process %d ignored SIGTERM for %s s", process.pid, self._grace_s)
            # Whatever is left of the group: the process itself, or what it started and left behind.
            _signal_group(process, signal.SIGKILL)
            process.wait()
        self._lines.close()
        for reader in self._readers:
            reader.join(1.0)
        if process.stdin is not None:
            try:
                process.stdin.close()
            except OSError:
                log.debug("what was still to be written to harness process %d is lost", process.pid, exc_info=True)


class _Lines:
    """Lines from a thread to whoever waits for them, on whatever event loop."""

    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._lines: deque[str] = deque()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether there is no line, and will be none."""
        with self._guard:
            return self._closed and not self._lines

    def put(self, line: str) -> None:
        """Add a line; waits while too many are unread. Lines after `close` are dropped."""
        with self._guard:
            self._guard.wait_for(lambda: self._closed or len(self._lines) < WAITING_LINES)
            if not self._closed:
                self._lines.append(line.rstrip("\n"))
                self._wake()

    def close(self) -> None:
        """There will be no more lines."""
        with self._guard:
            self._closed = True
            self._guard.notify_all()
            self._wake()

    async def get(self, timeout_s: float | None) -> str | None:
        """The next line, or None at the end or when the time is over."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while True:
            with self._guard:
                if self._lines:
                    self._guard.notify_all()
                    return self._lines.popleft()
                if self._closed:
                    return None
                news: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, news))
            left = None if deadline is None else deadline - loop.time()
            await asyncio.wait([news], timeout=left)
            if not news.done():
                news.cancel()
                return None

    def _wake(self) -> None:
        while self._waiting:
            loop, news = self._waiting.popleft()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell, news)


def _tell(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


def _reader(stream: IO[str] | None, put: Callable[[str], None], ended: Callable[[], None]) -> threading.Thread:
    """A thread that hands on a stream's lines, and closes it."""
    assert stream is not None

    def read() -> None:
        try:
            with stream:
                for line in stream:
                    put(line)
        finally:
            ended()

    thread = threading.Thread(target=read, name="openenv-harness-reader", daemon=True)
    thread.start()
    return thread


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        process.send_signal(number)
