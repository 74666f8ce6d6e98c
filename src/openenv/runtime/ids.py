"""The ids of sessions. Where a server has several workers, an id tells which of them has the session."""

from __future__ import annotations

import re
import uuid
import zlib

__all__ = ["SessionIds", "WorkerIds"]


class SessionIds:
    """Random UUIDs."""

    def new(self) -> str:
        """An id that nobody can guess."""
        return str(uuid.uuid4())

    def fate(self, session_id: str) -> str | None:
        """Why the session of an id that is not known has ended, where the id itself tells."""
        return None

    def keeps(self, world: str) -> bool:
        """Whether shared worlds of this name are kept in this process."""
        return True


_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{8}([0-9a-f]{2})([0-9a-f]{2})")


class WorkerIds(SessionIds):
    """UUIDs of version 8 (RFC 9562), in which all but four digits are random: the last two are the worker's number, the two
    before count how often it was started.

    Args:
        worker: This worker's number, from 0.
        workers: How many there are, 256 at most.
        start: How often this worker was started before.
    """

    def __init__(self, worker: int, workers: int, start: int) -> None:
        self.number = worker
        self.workers = workers
        self._start = start % 256
        self._end = f"{self._start:02x}{worker:02x}"

    def new(self) -> str:
        random = str(uuid.uuid4())
        return f"{random[:14]}8{random[15:-4]}{self._end}"

    def worker(self, session_id: str) -> int | None:
        """Which worker has made this id; None for what is none of this server's ids. It comes from outside."""
        known = _OURS.fullmatch(session_id)
        if known is None:
            return None
        worker = int(known[2], 16)
        return worker if worker < self.workers else None

    def keeper(self, world: str) -> int:
        """Which worker keeps the shared worlds of this name: every one of them says the same."""
        return zlib.crc32(world.encode("utf-8", "surrogatepass")) % self.workers

    def keeps(self, world: str) -> bool:
        return self.keeper(world) == self.number

    def fate(self, session_id: str) -> str | None:
        known = _OURS.fullmatch(session_id)
        if known is None:
            return None
        worker, start = int(known[2], 16), int(known[1], 16)
        if worker == self.number:
            return "the worker process that had it is gone" if start != self._start else None
        return "the worker process that had it does not answer" if worker < self.workers else None
