"""One process at a time, where several test workers would make the same thing."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["only_one"]


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock file while the block runs."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
