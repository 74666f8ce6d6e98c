"""uvicorn's HTTP protocol with an end to its patience.

uvicorn waits for ever for the end of a request's head, and keeps all of it; and for a client to read its answer. So a
few thousand connections that say nothing take every file descriptor, and one that never ends its headers the memory.
Only `openenv.server.serve` uses this class. In front of any other ASGI server a proxy has to have such limits.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openenv.server.stall import Stall

__all__ = ["Porch"]

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _TooMuchAhead(Exception):
    """Requests come faster than answers are taken."""


class Porch(HttpToolsProtocol):
    """An HTTP connection of ``openenv serve``, until it becomes a WebSocket."""

    HEAD_S = 30.0
    """For how long a head may take to come, and a body whose request has been answered already."""
    LONGEST_HEAD = 65_536
    """Bytes of a head that has no end yet."""
    MOST_AHEAD = 64
    """Requests that are sent ahead of their answers; one more, and the connection is ended."""
    LONGEST_REST = 64 * 1024 * 1024
    """Bytes of a body that are still taken, unread, after the answer: so that the sender gets to see it."""

    _in_head = True
    _head_bytes = 0
    _rest_bytes = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._stall = Stall(transport)
        self._late = self.loop.call_later(self.HEAD_S, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        self._stall.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall.resumed()

    def shutdown(self) -> None:
        super().shutdown()
        self._stall.begin_last()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > self.LONGEST_HEAD:
            self._end(_TOO_LONG)
        elif self._late is None and self.cycle is not None and self.cycle.response_complete:
            # Nothing runs for this connection, and uvicorn's own timer was stopped by the bytes that came.
            self._late = self.loop.call_later(self.HEAD_S, self._too_late)

    def handle_websocket_upgrade(self) -> None:
        self._in_time()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self.MOST_AHEAD:
            raise _TooMuchAhead  # the only way to stop the parser within what it was given; see send_400_response
        super().on_message_begin()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()  # uvicorn reads on after each answer, however many wait for theirs

    def send_400_response(self, msg: str) -> None:
        if self.cycle is None or self.cycle.response_complete:
            super().send_400_response(msg)
        else:
            self.transport.close()  # it would be taken for the answer to a request before this one

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = self._rest_bytes = 0
        self._in_time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle is not None and self.cycle.response_complete:
            self._rest_bytes += len(body)
            if self._rest_bytes > self.LONGEST_REST:
                self.transport.abort()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self._end(_TOO_LATE)

    def _end(self, answer: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()
