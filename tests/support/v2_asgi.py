"""A client of protocol v2 in the process of its server: what it sends is taken in the order in which the test says."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any

from fastapi import FastAPI

from openenv.server.core import ServerCore

__all__ = ["AsgiWire"]


class AsgiWire:
    """A connection to an application, past all sockets."""

    def __init__(self, app: FastAPI) -> None:
        self.core: ServerCore = app.state.openenv
        self._app = app
        self._to: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> AsgiWire:
        scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "subprotocols": ["openenv.v2"]}
        self._to.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.create_task(self._app(scope, self._to.get, self._sent))
        assert (await self.next())["event"] == "hello"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._to.put_nowait({"type": "websocket.disconnect"})
        await self._serving

    def put(self, **frame: Any) -> None:
        """Send a frame of these keys."""
        self._to.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})

    async def next(self) -> dict[str, Any]:
        """What comes next."""
        return await self._from.get()

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame, and return what comes next."""
        self.put(**frame)
        return await self.next()

    async def _sent(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            self._from.put_nowait(json.loads(message["text"]))
