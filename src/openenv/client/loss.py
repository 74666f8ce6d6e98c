"""The error of whoever goes on as if a session were still there."""

from __future__ import annotations

from openenv.errors import SessionLost

__all__ = ["reason_of", "session_lost"]

_WHAT = "The session is lost: "


def session_lost(reason: str) -> SessionLost:
    """The error for a session that is gone, and why; what was asked of it was not repeated elsewhere."""
    return SessionLost(
        f"{_WHAT}{reason}",
        hint="Nothing was repeated. reset() of a client, open() of a Connection or restart() of a vector gets a new session.",
    )


def reason_of(error: SessionLost) -> str:
    """What `session_lost` was told."""
    return str(error).removeprefix(_WHAT)
