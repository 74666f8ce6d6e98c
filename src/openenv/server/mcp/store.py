"""The last messages of a session, for a client that lost a stream and comes back with ``Last-Event-ID``."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage

__all__ = ["LastEvents"]


class _Event(NamedTuple):
    stream: str
    message: JSONRPCMessage | None
    size: int


class LastEvents(EventStore):
    """Keeps the last events of one session, of all its streams together.

    Args:
        max_events: How many.
        max_bytes: How much their messages may weigh; a heavier one is not kept.
    """

    def __init__(self, max_events: int = 64, max_bytes: int = 256 * 1024) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._count = 0
        self._bytes = 0
        self._events: OrderedDict[int, _Event] = OrderedDict()

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        size = len(message.model_dump_json()) if message is not None else 0
        if size > self._max_bytes:
            message, size = None, 0
        self._count += 1
        self._events[self._count] = _Event(stream_id, message, size)
        self._bytes += size
        while len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._bytes -= self._events.popitem(last=False)[1].size
        return str(self._count)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        after = int(last_event_id) if last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 20 else 0
        known = self._events.get(after)
        if known is None:
            return None
        for event_id, event in list(self._events.items()):
            if event.stream == known.stream and event_id > after and event.message is not None:
                await send_callback(EventMessage(event.message, str(event_id)))
        return known.stream
