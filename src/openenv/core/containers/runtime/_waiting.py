"""Waiting for a server: free ports and ``GET /health``."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from openenv.errors import DeadlineExceeded

__all__ = ["NotReady", "free_port", "is_healthy", "wait_until_healthy"]

_POLL_S = 0.25


class NotReady(DeadlineExceeded, TimeoutError):
    """A server did not become healthy in time; the text has the end of what it said."""


def free_port() -> int:
    """A TCP port of this machine that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def is_healthy(base_url: str, timeout_s: float = 2.0, path: str = "/health") -> bool:
    """Whether the server answers 200 in time. Servers of this machine are asked without a proxy."""
    handlers = [urllib.request.ProxyHandler({})] if "//127.0.0.1" in base_url or "//localhost" in base_url else []
    try:
        with urllib.request.build_opener(*handlers).open(base_url.rstrip("/") + path, timeout=timeout_s) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError):
        return False


def wait_until_healthy(
    base_url: str, timeout_s: float, *, said: Callable[[], str], ended: Callable[[], bool] | None = None
) -> None:
    """Ask until ``/health`` answers 200.

    Args:
        base_url: The server.
        timeout_s: Seconds to wait in all.
        said: The end of the server's log, for the message.
        ended: Whether it has stopped, so that waiting longer makes no sense.

    Raises:
        NotReady: It did not in time, or it has ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if is_healthy(base_url, timeout_s=min(5.0, max(0.1, deadline - time.monotonic()))):
            return
        stopped = ended is not None and ended()
        if stopped or time.monotonic() >= deadline:
            why = "has ended" if stopped else f"was not healthy within {timeout_s:g} s"
            log = said()
            heard = f"; it said: {log}" if log else ""
            raise NotReady(f"The server at {base_url} {why}{heard}", hint="Try the same server by hand.")
        time.sleep(_POLL_S)
