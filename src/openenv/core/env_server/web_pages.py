"""The open pages of the web interface: each is told of changes at its own pace, and none can hold up a step."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from fastapi import WebSocket, WebSocketDisconnect

__all__ = ["OpenPages"]

log = logging.getLogger("openenv.core")


class OpenPages:
    """Sends what ``latest`` returns to every page, after each change; a page that is slow gets the newest only.

    ``sockets`` is the list of pages that is kept up to date.
    """

    SEND_S = 10.0
    """A page that takes nothing for so long is given up."""

    def __init__(self, sockets: list[WebSocket], latest: Callable[[], str]) -> None:
        self._sockets = sockets
        self._latest = latest
        self._told: dict[WebSocket, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def open(self, page: WebSocket) -> None:
        """Accept a page and tell it, and nobody else, how things stand."""
        await page.accept()
        changed = asyncio.Event()
        changed.set()
        self._sockets.append(page)
        self._told[page] = (changed, asyncio.get_running_loop().create_task(self._tell(page, changed)))

    def leave(self, page: WebSocket) -> None:
        """It has gone."""
        if page in self._sockets:
            self._sockets.remove(page)
        _, telling = self._told.pop(page, (None, None))
        if telling is not None:
            telling.cancel()

    def changed(self) -> None:
        """Tell every page, some time soon."""
        for changed, _ in self._told.values():
            changed.set()

    async def watch(self, page: WebSocket) -> None:
        """Read what a page sends, which means nothing, until it goes or is given up."""
        _, telling = self._told[page]
        reading = asyncio.get_running_loop().create_task(_read(page))
        try:
            await asyncio.wait((reading, telling), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            self.leave(page)

    def end(self) -> None:
        """Tell nobody any more."""
        for page in list(self._told):
            self.leave(page)

    async def _tell(self, page: WebSocket, changed: asyncio.Event) -> None:
        try:
            while True:
                await changed.wait()
                changed.clear()
                async with asyncio.timeout(self.SEND_S):
                    await page.send_text(self._latest())
        except TimeoutError:
            log.warning("a page took nothing for %g s and is given up", self.SEND_S)
            with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                async with asyncio.timeout(1.0):
                    await page.close(code=1008)
        except (RuntimeError, WebSocketDisconnect):
            return


async def _read(page: WebSocket) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        while (await page.receive())["type"] != "websocket.disconnect":
            continue
