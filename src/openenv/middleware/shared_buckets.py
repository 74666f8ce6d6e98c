"""A table of numbers by key in memory that several processes see: the token buckets of a server with several workers."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

__all__ = ["SharedBuckets"]

_SLOTS: Final = 16_384
_NEAR: Final = 32
"""Slots in which a key may lie, from the one that its hash says."""
_WIDTH: Final = 8
_MOST_KNOWN: Final = 20_000


class SharedBuckets:
    """When each bucket is full again, by key; what `openenv.middleware.rate.Buckets` needs of a dictionary.

    Numbers are read and written without a lock: of two workers that take from one bucket in the same microsecond one may take
    for nothing. A lock would let a worker that the system has stopped for a moment stop the others. Only who comes first takes
    a lock, to find a slot: an empty one, one whose bucket is full, or else the one that is full the soonest.

    Args:
        fd: A file of which `SIZE` bytes at ``start`` are this table's, at first all zeros.
        start: A multiple of the page size.
        key: Secret; nobody can choose names that fall into one slot.
        clock: The same seconds in every process.
    """

    SIZE: Final = 2 * _SLOTS * _WIDTH

    def __init__(self, fd: int, start: int, key: bytes, clock: Callable[[], float] = monotonic) -> None:
        self._fd = fd
        self._start = start
        self._key = key
        self._clock = clock
        memory = memoryview(mmap.mmap(fd, self.SIZE, offset=start))
        self._hashes = memory[: _SLOTS * _WIDTH].cast("Q")
        self._numbers = memory[_SLOTS * _WIDTH :].cast("d")
        self._known: dict[Hashable, tuple[int, int]] = {}
        """Slot and hash of the keys that were asked for here."""

    def __len__(self) -> int:
        """0: the table makes room by itself."""
        return 0

    def get(self, key: Hashable, default: float) -> float:
        """The number, or the default for a key that has no slot."""
        known = self._known.get(key)
        if known is not None and self._hashes[known[0]] == known[1]:
            return self._numbers[known[0]]
        hashed = self._hash(key)
        for slot in self._near(hashed):
            if self._hashes[slot] == hashed:
                self._remember(key, slot, hashed)
                return self._numbers[slot]
        return default

    def __setitem__(self, key: Hashable, number: float) -> None:
        known = self._known.get(key)
        if known is not None and self._hashes[known[0]] == known[1]:
            self._numbers[known[0]] = number
            return
        hashed = self._hash(key)
        with self._locked():
            slot = self._slot_for(hashed)
            self._numbers[slot] = number
            self._hashes[slot] = hashed
        self._remember(key, slot, hashed)

    def _slot_for(self, hashed: int) -> int:
        near = self._near(hashed)
        for slot in near:
            if self._hashes[slot] in (hashed, 0):
                return slot
        now = self._clock()
        return min(near, key=lambda slot: max(self._numbers[slot], now))

    def _remember(self, key: Hashable, slot: int, hashed: int) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = slot, hashed

    def _hash(self, key: Hashable) -> int:
        digest = hashlib.blake2b(repr(key).encode("utf-8", "surrogatepass"), digest_size=8, key=self._key)
        return int.from_bytes(digest.digest(), "big") or 1

    @staticmethod
    def _near(hashed: int) -> list[int]:
        first = hashed % _SLOTS
        return [(first + step) % _SLOTS for step in range(_NEAR)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, self._start)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, self._start)
