"""Who sends a message of standard MCP, and for which session."""

from __future__ import annotations

from dataclasses import dataclass

from openenv.operation import Connection, RequestContext

__all__ = ["CALLER", "Caller"]

CALLER = "openenv.caller"
"""The key of an ASGI scope that has the `Caller` of its request."""


@dataclass(slots=True)
class Caller:
    """A request, once it was let in."""

    connection: Connection
    context: RequestContext
    session: str | None = None
    """The session that the request's URL names."""
    size: int = 0
    """Bytes of its body."""
