"""Several applications in one process, each under its name as a path prefix: ``/echo/ws``, ``/tasky/tasky/splits``.

``python -m uvicorn mounted:app``; which ones, ``INTEROP_APPS`` says: ``name=module:attribute`` with commas between.
"""

from __future__ import annotations

import importlib
import os
from contextlib import AsyncExitStack
from typing import Any


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Mounted:
    """Hands each request to the application of its first path segment, with the rest as its path."""

    def __init__(self, apps: dict[str, Any]) -> None:
        self.apps = apps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        _, name, *rest = scope["path"].split("/", 2)
        path = "/" + (rest[0] if rest else "")
        if scope["path"] == "/health":
            name, path = next(iter(self.apps)), "/health"
        inner = dict(scope, path=path, raw_path=path.encode(), root_path="")
        await self.apps[name](inner, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            for app in self.apps.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


_TARGETS = dict(one.split("=", 1) for one in os.environ["INTEROP_APPS"].split(","))
app = Mounted({name: _load(target) for name, target in _TARGETS.items()})
