"""A client's connection in a worker. It moves to the worker that its request belongs to, with what was read of it.

Nothing is relayed: the kernel's socket itself changes hands, and the other worker reads the request from its first byte. It
authenticates, counts, limits and streams as if the client had come to it at once, and knows its real address.
"""

from __future__ import annotations

from asyncio import BaseTransport, Transport
from collections.abc import Mapping
from typing import Any, cast

import httptools

from openenv.server.moving import LINE, SIBLING, misdirected
from openenv.server.porch import Porch
from openenv.server.workers.siblings import Siblings
from openenv.server.workers.where import Head, destination

__all__ = ["Line"]

_LONGEST_HEAD = 1024 * 1024
"""Bytes; a request with a longer one is answered where it is."""


class Line(Porch):
    """An HTTP connection of a worker.

    Args:
        siblings: The other workers.
        arrived: What another worker has read of this connection; it stays here for that request.
        known: The addresses of a connection that another worker has dialled: it stays here for good.
    """

    def __init__(
        self, siblings: Siblings, *args: Any, arrived: bytes = b"", known: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._siblings = siblings
        self._arrived = arrived
        self._known = known or {}
        self._stays = bool(arrived or self._known)
        self._between = True
        """Whether the next byte begins a request."""
        self._head: list[bytes] | None = None
        """What was read of a request whose head is not complete; None where it began in the middle of something else."""
        self._to: int | None = None
        """The worker that the connection is about to move to."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        if self._known:
            self.client, self.server = _address(self._known.get("client")), _address(self._known.get("server"))
        if self._arrived:
            arrived, self._arrived = self._arrived, b""
            self.data_received(arrived)

    def data_received(self, data: bytes) -> None:
        if self._between:
            self._head = [data]
        elif self._head is not None:
            self._head.append(data)
        super().data_received(data)
        if self._to is not None:
            self._leave(self._to)

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._to is not None:
            return
        to = self._destination()
        upgrade = self.parser.should_upgrade() and self._should_upgrade()
        if to is not None and self._can_move() and self._head is not None and sum(map(len, self._head)) <= _LONGEST_HEAD:
            self._to = to
            self._in_head = False  # what follows is a body, and another worker's to limit
            return
        self._head = None
        if to is None or upgrade:
            super().on_headers_complete()
            scope: dict[str, Any] = cast(Any, self.scope)
            scope["extensions"] = {LINE: self}
            return
        app, self.app = self.app, misdirected
        super().on_headers_complete()
        self.app = app

    def on_body(self, body: bytes) -> None:
        if self._to is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._to is None:
            super().on_message_complete()
        self._between = True

    def send_400_response(self, msg: str) -> None:
        if self._to is None:  # else the other worker finds the same fault
            super().send_400_response(msg)

    def handle_websocket_upgrade(self) -> None:
        if self._to is not None:
            return
        super().handle_websocket_upgrade()
        scope = getattr(self.transport.get_protocol(), "scope", None)
        if self._known and scope is not None:
            scope["client"], scope["server"] = self.client, self.server
            scope["extensions"][SIBLING] = {}

    def move(self, to: int, scope: Mapping[str, Any], body: bytes) -> bool:
        """Move with a request that has been read already; False when that cannot be any more."""
        if not self._between or not self._can_move(answering=True):
            return False
        left_out = (b"content-length", b"transfer-encoding", b"expect")
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        lines = [b"%b %b HTTP/%b" % (scope["method"].encode(), target, scope["http_version"].encode())]
        lines += [b"%b: %b" % (name, value) for name, value in scope["headers"] if name not in left_out]
        lines += [b"content-length: %d" % len(body), b"", body]
        return self._hand_over(to, b"\r\n".join(lines))

    def _destination(self) -> int | None:
        if self._stays:
            self._stays = bool(self._known)
            return None
        is_socket = self.parser.should_upgrade() and self._should_upgrade()
        target = self.url
        if not target.startswith(b"/"):  # such as http://host/path
            parsed = httptools.parse_url(target)
            target = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        return destination(self._siblings, Head(self.parser.get_method().decode(), target, self.headers, is_socket))

    def _can_move(self, *, answering: bool = False) -> bool:
        """Whether nothing is owed to the client but the answer to this request."""
        quiet = answering or self.cycle is None or self.cycle.response_complete
        return quiet and not self.pipeline and not self.transport.get_write_buffer_size() and not self.transport.is_closing()

    def _leave(self, to: int) -> None:
        read = b"".join(self._head or ())
        self._head, self._to = None, None
        if self._hand_over(to, read):
            return
        self._stays, self._between = True, True
        self._in_head, self._head_bytes = True, 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(read)

    def _hand_over(self, to: int, read: bytes) -> bool:
        self.flow.pause_reading()
        end = self.transport.get_extra_info("socket")
        if not self._siblings.hand_over(to, end.fileno(), read):
            self.flow.resume_reading()
            return False
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()
        return True


def _address(given: Any) -> Any:
    return tuple(given) if given else None
