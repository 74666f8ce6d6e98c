"""How many sessions each worker of a server has: a page of memory that all of them see."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Census"]

_NUMBERS = 2
"""Of each worker: its sessions, and those among them whose environment is being closed."""
_WIDTH = 8


class Census:
    """One worker's view of the table. A worker writes its own line and reads the others'.

    Args:
        fd: A file of `Census.size` bytes that all workers have open.
        worker: Whose view it is.
        workers: How many there are.
    """

    def __init__(self, fd: int, worker: int, workers: int) -> None:
        self._fd = fd
        self._worker = worker
        self._workers = workers
        self._table = memoryview(mmap.mmap(fd, self.size(workers))).cast("q")[: workers * _NUMBERS]

    @staticmethod
    def size(workers: int) -> int:
        """Bytes of the table: whole pages."""
        return -(-workers * _NUMBERS * _WIDTH // mmap.PAGESIZE) * mmap.PAGESIZE

    @classmethod
    def create(cls, workers: int, more: int = 0) -> int:
        """A file for the table and ``more`` bytes after it, all zeros. It has no name and ends with who has it open."""
        fd = os.memfd_create("openenv-census")
        os.ftruncate(fd, cls.size(workers) + more)
        return fd

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else is in here at the same time; the lock of a process that dies is given up for it."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def put(self, active: int, closing: int) -> None:
        """Write this worker's line."""
        self.write(self._worker, active, closing)

    def write(self, worker: int, active: int, closing: int) -> None:
        """Write a worker's line: of one that has died, the supervisor does."""
        at = worker * _NUMBERS
        self._table[at], self._table[at + 1] = active, closing

    def active(self, worker: int) -> int:
        """A worker's sessions."""
        return self._table[worker * _NUMBERS]

    @property
    def active_elsewhere(self) -> int:
        """Sessions of the other workers."""
        return sum(self._table[::_NUMBERS]) - self.active(self._worker)

    @property
    def closing_elsewhere(self) -> int:
        """Sessions of the other workers that have ended and still hold their place."""
        return sum(self._table[1::_NUMBERS]) - self._table[self._worker * _NUMBERS + 1]

    def emptiest(self) -> int:
        """The worker with the fewest sessions; this one unless another has at least two fewer."""
        least = min(range(self._workers), key=self.active)
        return least if self.active(least) + 2 <= self.active(self._worker) else self._worker
