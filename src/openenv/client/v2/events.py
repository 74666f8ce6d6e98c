"""What a server tells unasked: who wants to hear it, and who hears it."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from openenv.client.v2.link import Link
from openenv.client.v2.pending import Ask

if TYPE_CHECKING:
    from openenv.client.v2.conversation import Conversation

__all__ = ["Event", "EventHub", "EventStream"]

_MOST_WAITING = 10_000
_ALWAYS = ("session_ended", "session_taken")
"""What the client itself needs to know, of every session."""

Wanted = tuple[str, str | None]
"""An event's name, and the session that it is to be about; ``None``: every one of the connection."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. docs/protocol.md lists the names, and what each one's data is."""

    name: str
    session: str | None = None
    data: Any = field(default_factory=dict)
    """An object; of an ``environment`` event whatever the environment said."""
    dropped: int = 0
    """How many were left out before this one, because nobody read them in time."""


class EventStream:
    """The events that one reader wants, as an async iterator.

    It hears what happens after its first ``await``, or from ``async with`` on; not what happens while the connection is
    being resumed. It ends when its session ends or the connection is closed.
    """

    def __init__(self, conversation: Conversation, names: tuple[str, ...], session: str | None) -> None:
        self._conversation = conversation
        self._session = session
        self._waiting: deque[Event] = deque()
        self._news = asyncio.Event()
        self._dropped = 0
        self._begun = False
        self._over = False
        self.wanted: frozenset[Wanted] = frozenset((name, session) for name in names)

    async def __aenter__(self) -> Self:
        if not self._begun:
            self._begun = True
            await self._conversation.events.open(self, self._session)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self.next_or_none()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next_or_none(self) -> Event | None:
        """The next event, as soon as there is one; ``None`` when there will be no more."""
        await self.__aenter__()
        while not self._waiting:
            if self._over:
                return None
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    async def close(self) -> None:
        """Hear nothing more. More than one call does no harm."""
        self.end()
        await self._conversation.events.leave(self, self._session)

    def put(self, event: Event) -> None:
        """Hand it to the reader, who loses the oldest when ten thousand wait."""
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        if self._dropped and len(self._waiting) < _MOST_WAITING:
            event = Event(event.name, event.session, event.data, event.dropped + self._dropped)
            self._dropped = 0
        self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        """No more events will come."""
        self._over = True
        self._news.set()


class EventHub:
    """Who wants what, and what the server has been asked for."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()

    @property
    def wanted(self) -> set[Wanted]:
        """What the streams want."""
        return {one for stream in self._streams for one in stream.wanted}

    def subscribe_all(self, link: Link) -> None:
        """Ask a new connection for what the last one was asked for, once the sessions are attached to it."""
        by_session: dict[str | None, list[str]] = {None: list(_ALWAYS)}
        for name, session in sorted(self.wanted, key=str):
            if name not in by_session.setdefault(session, []):
                by_session[session].append(name)
        for session, names in by_session.items():
            self._conversation.tell("subscribe", {"events": self._asked(names, session)}, session=session, link=link)

    def _asked(self, names: list[str], session: str | None) -> list[str]:
        """The names to send: whoever watches a session of somebody else's is to hear of its end too."""
        watched = session is not None and "step" in names and session not in self._conversation.seats
        return sorted({*names, "session_ended"} if watched else names)

    async def open(self, stream: EventStream, session: str | None) -> None:
        """Begin to hear. Raises what the server refuses with."""
        await self._conversation.keeper.ready()
        self._streams.add(stream)
        names = [name for name, _ in stream.wanted]
        try:
            await self._conversation.request(Ask("subscribe", {"events": self._asked(names, session)}, session=session))
        except BaseException:
            self._streams.discard(stream)
            raise

    async def leave(self, stream: EventStream, session: str | None) -> None:
        """Hear no more, and tell the server where nobody else wants the same."""
        if stream not in self._streams:
            return
        self._streams.discard(stream)
        left = stream.wanted - self.wanted - {(name, None) for name in _ALWAYS}
        if left:
            self._conversation.tell("unsubscribe", {"events": sorted(name for name, _ in left)}, session=session)

    def deliver(self, message: dict[str, Any]) -> None:
        """Hand an event to everybody who wants it."""
        name, session, data = message.get("event"), message.get("session"), message.get("data")
        if not isinstance(name, str) or not isinstance(session, str | None):
            return
        dropped = message.get("dropped")
        event = Event(name, session, data, dropped if isinstance(dropped, int) else 0)
        takers = [one for one in self._streams if one.wanted & {(name, None), (name, session)}]
        for stream in takers:
            stream.put(event)
        if not takers and name not in _ALWAYS:  # whoever wanted it has gone without a word
            for about in {None, session}:
                self._conversation.tell("unsubscribe", {"events": [name]}, session=about)
        if name in _ALWAYS and session is not None:
            self._gone(event)

    def _gone(self, event: Event) -> None:
        seat = self._conversation.seats.get(event.session or "")
        if seat is None:
            self.end(event.session)  # one that was only watched
            return
        reason = event.data.get("reason") if isinstance(event.data, dict) else None
        if event.name == "session_taken":
            self._conversation.part(seat, "another connection has taken it")
        else:
            self._conversation.part(seat, reason if isinstance(reason, str) else "it has ended")

    def end(self, session: str | None = None) -> None:
        """End the streams about one session, or all."""
        for stream in list(self._streams):
            if session is None or all(about == session for _, about in stream.wanted):
                stream.end()
                self._streams.discard(stream)
