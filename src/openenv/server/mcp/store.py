"""The last messages of a session, for a client that lost a stream and comes back with ``Last-Event-ID``."""

from __future__ import annotations

from collections import OrderedDict

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage

__all__ = ["LastEvents"]


class LastEvents(EventStore):
    """Keeps the last ``limit`` events of one session, of all its streams together."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._count = 0
        self._events: OrderedDict[str, tuple[str, JSONRPCMessage | None]] = OrderedDict()

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._count += 1
        event_id = str(self._count)
        self._events[event_id] = (stream_id, message)
        while len(self._events) > self._limit:
            self._events.popitem(last=False)
        return event_id

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        known = self._events.get(last_event_id)
        if known is None:
            return None
        stream_id, after = known[0], int(last_event_id)
        for event_id, (stream, message) in list(self._events.items()):
            if stream == stream_id and int(event_id) > after and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream_id
