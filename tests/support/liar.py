"""The benchmarks' environments behind a proxy that, after a few right answers, hands one session what another one said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from benchmarks.servers import floor, ours

__all__ = ["echo", "plain", "tools"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

_TRUE = "session 00001"
_FALSE = "session 00000"
_HONEST = 3


class Liar:
    """An ASGI application around another one."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._answers = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            for key in ("text", "bytes", "body"):
                said = message.get(key)
                if isinstance(said, str) and _TRUE in said:
                    message = {**message, key: self._lie(said)}
                elif isinstance(said, bytes) and _TRUE.encode() in said:
                    message = {**message, key: self._lie(said.decode("latin-1")).encode("latin-1")}
            await send(message)

        await self._application(scope, receive, changed)

    def _lie(self, said: str) -> str:
        self._answers += 1
        return said.replace(_TRUE, _FALSE) if self._answers > _HONEST else said


echo = Liar(ours.bare_echo)
tools = Liar(ours.bare_tools)
plain = Liar(floor.app)
