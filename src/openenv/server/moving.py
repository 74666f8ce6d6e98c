"""The answer that another worker gives: the connection moves there with its request."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

__all__ = ["LINE", "SIBLING", "Moving", "misdirected"]

LINE = "openenv.line"
"""The ASGI extension's name: the scope of a request to a worker has its connection under it."""
SIBLING = "openenv.sibling"
"""The same of a socket at whose other end is another worker, for a client of its own."""


class Moving(Response):
    """For a request of which only its body tells that it belongs to another worker.

    Args:
        to: That worker.
        body: The request's body.
    """

    def __init__(self, to: int, body: bytes) -> None:
        super().__init__()
        self._to = to
        self._request = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line: Any = scope.get("extensions", {}).get(LINE)
        if line is None or not line.move(self._to, scope, self._request):
            await misdirected(scope, receive, send)


async def misdirected(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request that belongs to another worker and cannot move there: RFC 9110's 421, then one connects anew."""
    body = (
        b'{"error":{"message":"This request belongs to another worker, and came on a connection with requests that are not '
        b'answered yet","code":"MISDIRECTED","hint":"Send it again on a connection of its own."}}'
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
