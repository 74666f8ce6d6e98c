"""How long a session lives that no socket holds, and who sees to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from openenv.runtime.session import Session

__all__ = ["Leases"]

SEATING_S = 30.0
"""For how long at least a session waits for the socket that it was made for."""


class Leases:
    """The leases of a manager's sessions; used on the event loop.

    Args:
        lease_s: The lease of sessions that have none of their own; None is for ever.
        sessions: By id.
        end: Ends one, for a reason.
    """

    def __init__(self, lease_s: float | None, sessions: Mapping[str, Session], end: Callable[[Session, str], None]) -> None:
        self.lease_s = lease_s
        self._sessions = sessions
        self._end = end
        self._reaper: asyncio.TimerHandle | None = None

    def of(self, session: Session) -> float | None:
        """How long it lives without a socket and a request; None is for ever."""
        lease_s = self.lease_s if session.lease_s is None else session.lease_s
        # A socket's own session is there a moment before the socket holds it, and a busy server's moments are long.
        return lease_s if lease_s is None or session.kind == "free" else max(lease_s, SEATING_S)

    def renew(self, session: Session) -> None:
        """The lease begins anew."""
        lease_s = self.of(session)
        if lease_s is not None:
            session.expires = asyncio.get_running_loop().time() + lease_s
            self._schedule(lease_s)

    def stop(self) -> None:
        """Look no more."""
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None

    def _schedule(self, lease_s: float) -> None:
        """Look for ended leases within a quarter of this one, or half a minute."""
        loop = asyncio.get_running_loop()
        due = loop.time() + min(max(lease_s / 4, 0.05), 30.0)
        if self._reaper is None or self._reaper.when() > due:
            self.stop()
            self._reaper = loop.call_at(due, self._reap)

    def _reap(self) -> None:
        """End sessions whose lease ran out; one that a socket holds or that is working is never among them."""
        self._reaper = None
        now = asyncio.get_running_loop().time()
        shortest: float | None = None
        for session in list(self._sessions.values()):
            lease_s = self.of(session)
            if session.attached or lease_s is None:
                continue
            if not session.world.busy and session.expires < now:
                self._end(session, f"no request for {lease_s:g} s")
            elif shortest is None or lease_s < shortest:
                shortest = lease_s
        if shortest is not None:
            self._schedule(shortest)
