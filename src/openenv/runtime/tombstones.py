"""Why sessions have ended, for callers who come late."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Tombstones"]

_MOST = 10_000


class Tombstones:
    """The reasons of the last sessions that ended, each for a while.

    Args:
        lasting_s: For how long, in seconds.
    """

    def __init__(self, lasting_s: float) -> None:
        self._lasting_s = lasting_s
        self._stones: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def bury(self, session_id: str, reason: str, now: float) -> None:
        """Remember why a session has ended."""
        stones = self._stones
        stones[session_id] = (reason, now + self._lasting_s)
        while len(stones) > _MOST or next(iter(stones.values()))[1] <= now:
            stones.popitem(last=False)

    def reason(self, session_id: str) -> str | None:
        """Why it has ended; None when that is not known, or no longer."""
        found = self._stones.get(session_id)
        return found[0] if found is not None else None
