"""One thread for one guest, as a `concurrent.futures.Executor` that nobody has to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

__all__ = ["OwnThread"]

T = TypeVar("T")
P = ParamSpec("P")


class OwnThread(Executor):
    """Runs what it is given in order. Unlike a ``ThreadPoolExecutor``'s, its thread keeps no process alive when it hangs."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._left = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in its turn; the thread begins with the first. Raises `RuntimeError` after `shutdown`."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                outcome = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - whoever waits for the future is told
                future.set_exception(error)
            else:
                future.set_result(outcome)

        with self._lock:
            if self._left:
                raise RuntimeError("this environment was closed: its thread has ended")
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="openenv-guest", daemon=True)
                self._thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; the thread ends after what it was given."""
        with self._lock:
            self._left = True
            self._jobs.put(None)
            thread = self._thread
        if wait and thread is not None:
            thread.join()

    def _run(self) -> None:
        job: Any
        while (job := self._jobs.get()) is not None:
            job()
            del job
