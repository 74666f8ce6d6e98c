"""Running an application in uvicorn, with a shutdown that loses nothing."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from queue import SimpleQueue
from types import FrameType
from typing import Any

import uvicorn

from openenv.errors import ConfigurationError
from openenv.middleware import Hooks
from openenv.middleware.log_records import take_records
from openenv.runtime.loaded import keep_loaded
from openenv.server.core import ServerCore
from openenv.server.door import Door

__all__ = [
    "BACKLOG",
    "LAST_S",
    "DrainingServer",
    "announce",
    "cannot_listen",
    "configured",
    "core_of",
    "family_of",
    "remark_on",
    "serve",
]

log = logging.getLogger("openenv.server")

LAST_S = 6.0
"""How long after the budget the process may last: for answers that were cancelled and environments that close."""
BACKLOG = 2048
"""Connections that wait to be taken."""


class DrainingServer(uvicorn.Server):
    """On SIGTERM or SIGINT: no new sessions, running steps end and are answered, then uvicorn's own shutdown.

    All of it has one budget. What hangs longer is cancelled and given up; what cannot be cancelled, such as a thread or
    an event loop that is blocked, ends with the process. A second signal does not wait.
    """

    def __init__(self, config: uvicorn.Config, core: ServerCore, patience_s: float) -> None:
        super().__init__(config)
        self._core = core
        self._patience_s = patience_s
        self._draining: asyncio.Task[None] | None = None
        self._signalled = False
        self._signals: SimpleQueue[int] = SimpleQueue()
        """For the thread that sees to the end; of all queues this is the one that a signal handler may put into."""
        self._over = threading.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by Python between any two instructions of the main thread."""
        first, self._signalled = not self._signalled, True
        self._signals.put(sig)
        self._loop.call_soon_threadsafe(self._begin_to_end if first and self.started else self._end_now, sig)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets=sockets)
        finally:
            if not self._core.gave_up:  # else a thread of the environment's own may keep the process from ending
                self._over.set()
                self._signals.put(0)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._see_to_the_end, name="openenv-end", daemon=True).start()
        await super().serve(sockets=sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        keep_loaded()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.timeout_graceful_shutdown = max(1, math.ceil(self._core.left_s()))
        await super().shutdown(sockets=sockets)

    def _begin_to_end(self, sig: int) -> None:
        self._draining = self._loop.create_task(self._drain(sig))

    async def _drain(self, sig: int) -> None:
        await self._core.drain(patience_s=self._patience_s)
        super().handle_exit(sig, None)

    def _end_now(self, sig: int) -> None:
        self._core.deadline = self._loop.time()
        super().handle_exit(sig, None)

    def _see_to_the_end(self) -> None:
        """End the process when nothing else did."""
        sig = self._signals.get()
        if self._over.wait(self._patience_s + LAST_S):
            return
        log.error("the server hangs in an environment's code and is ended without its shutdown")
        logging.shutdown()
        os._exit(128 + sig)


def serve(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    log_level: str = "warning",
    drain_s: float = 30.0,
    max_frame_bytes: int = 16 * 1024 * 1024,
) -> None:
    """Serve an application made by `create_app` until a signal ends it.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port; 0 takes a free one. The line ``serving NAME on URL`` on standard error tells which.
        log_level: uvicorn's.
        drain_s: How long running steps may take to end after SIGTERM, and the shutdown as a whole but for a few seconds.
        max_frame_bytes: The longest WebSocket frame; a longer one closes its socket with 1009.

    Raises:
        ConfigurationError: the address cannot be listened on, or ``app`` is none of ours.
    """
    core = core_of(app)
    taken = take_records(core.pipeline.middleware)
    config = configured(app, log_level=log_level, max_frame_bytes=max_frame_bytes, records_taken=taken)
    try:
        listening = socket.create_server((host, port), family=family_of(host), backlog=BACKLOG)
    except OSError as error:
        raise cannot_listen(host, port, error) from None
    announce(core.specification.name, host, listening.getsockname()[1], remark_on(core))
    DrainingServer(config, core, drain_s).run(sockets=[listening])


def core_of(app: Any) -> ServerCore:
    """What an application serves. Raises `ConfigurationError` for one that is none of ours."""
    core = getattr(getattr(app, "state", None), "openenv", None)
    if not isinstance(core, ServerCore):
        raise ConfigurationError("this application was not made by openenv.create_app", hint="Serve it with uvicorn.")
    return core


def configured(
    app: Any,
    *,
    log_level: str = "warning",
    max_frame_bytes: int = 16 * 1024 * 1024,
    records_taken: bool = False,
    **more: Any,
) -> uvicorn.Config:
    """uvicorn's configuration, as `serve` has it; with ``records_taken`` its loggers go where all others do."""
    if records_taken:
        more["log_config"] = None
    return uvicorn.Config(
        app,
        log_level=log_level,
        access_log=False,
        http=more.pop("http", None) or _http_protocol(),
        ws=Door,
        ws_max_size=max_frame_bytes,
        ws_per_message_deflate=False,
        **more,
    )


def announce(name: str, host: str, port: int, remark: str) -> None:
    """Tell on standard error where the server is."""
    address = f"[{host}]" if ":" in host else host
    with suppress(OSError):  # a full disk is no reason not to serve
        sys.stderr.write(f"serving {name} on http://{address}:{port}{remark}\n")
        sys.stderr.flush()


def remark_on(core: ServerCore, workers: int = 1) -> str:
    """What whoever starts the server should know: what is on, and whether it admits everybody."""
    chain = core.pipeline.middleware
    said = [f"{workers} workers"] if workers > 1 else []
    plain: Any = object.__str__
    said += [type(one).__name__ if type(one).__str__ is plain else str(one) for one in chain]
    if all(getattr(type(one), "admit", Hooks.admit) is Hooks.admit for one in chain):
        said.append("all scopes for everyone (no middleware admits callers)")
    return f", with {', '.join(said)}" if said else ""


def cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    """The error for an address that cannot be listened on."""
    return ConfigurationError(
        f"cannot listen on {host}:{port}: {error.strerror or error}", hint="Choose another --port, or 0 for a free one."
    )


def _http_protocol() -> Any:
    """With limits, where the fast parser is there (it is not on Windows)."""
    return "auto" if find_spec("httptools") is None else import_module("openenv.server.porch").Porch


def family_of(host: str) -> socket.AddressFamily:
    """IPv6 for an address with colons, else IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
