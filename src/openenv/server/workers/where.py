"""Which worker a request belongs to, by its path, its query and its headers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from openenv.errors import OpenEnvError
from openenv.operation import RequestContext
from openenv.server.workers.siblings import Siblings

__all__ = ["Head", "destination"]

log = logging.getLogger("openenv.workers")

_SESSION = re.compile(r"/sessions/([^/]+)(?:/.*)?")
_STATEFUL = frozenset({"/reset", "/step", "/state", "/mcp"})
"""HTTP routes that take ``X-Session-ID``, or the name of a world."""
_SOCKETS = frozenset({"/ws", "/mcp", "/harness"})
"""WebSocket routes that seat their caller."""


class Head(NamedTuple):
    """What is known of a request before its body is."""

    method: str
    target: bytes
    """Path and query, as they were sent."""
    headers: Iterable[tuple[bytes, bytes]]
    """Names in lower case."""
    is_socket: bool


def destination(siblings: Siblings, head: Head) -> int | None:
    """The other worker that has to answer; None for this one.

    Nothing is decided here but the place: whoever answers reads the request himself, and refuses what there is to refuse.
    """
    raw_path, _, raw_query = head.target.partition(b"?")
    path = unquote(raw_path.decode("latin-1"))
    in_path = _SESSION.fullmatch(path)
    if in_path is not None:
        return siblings.home(in_path[1])
    if path == "/ws/ui" or path == "/web" or path.startswith("/web/"):
        return siblings.first()
    if head.is_socket:
        if path not in _SOCKETS:
            return None
        query = _query(raw_query)
        named = query.get("session_id") if path == "/ws" else None
        if named is not None:
            return siblings.home(named)
        return _by_world(siblings, head, query, new=True)
    if path == "/sessions" and head.method == "POST":
        return _by_world(siblings, head, _query(raw_query), new=True)
    if path in _STATEFUL:
        names = (b"mcp-session-id", b"x-session-id") if path == "/mcp" else (b"x-session-id",)
        known = dict(head.headers)
        for name in names:
            if name in known:
                return siblings.home(known[name].decode("latin-1").strip(" \t"))
        return _by_world(siblings, head, _query(raw_query), new=False)
    return None


def _query(raw: bytes) -> dict[str, str]:
    return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))


def _by_world(siblings: Siblings, head: Head, query: dict[str, str], *, new: bool) -> int | None:
    """Where the world is that the context names; a new session of no such world goes where there are clearly fewer."""
    kind = siblings.core.specification.environment_type
    declared = {name.encode(): name for name in kind.context_headers}
    headers = {declared[name]: value.decode("latin-1") for name, value in head.headers if name in declared}
    try:
        world = kind.world_name(RequestContext(headers, query))
    except OpenEnvError:
        return None
    except Exception:
        log.exception("world_name of %s raised", kind.__name__)
        return None
    if world is not None:
        return siblings.keeper(world)
    return siblings.emptiest() if new else None
