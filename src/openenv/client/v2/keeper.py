"""The sockets that a conversation has, one after the other: opened when needed, replaced when lost, closed at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from openenv.client.v2.link import Link, LinkLost, LinkSettings
from openenv.client.v2.resume import Resumption
from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from openenv.client.v2.conversation import Conversation

__all__ = ["Keeper"]


class Keeper:
    """Keeps a conversation connected while something needs it.

    Attributes:
        settings: How to connect.
        resume_within_s: How long to try to get a lost connection back; ``None``: as long as sessions live without one.
        resumes: How often a lost connection was replaced.
        fruitless: Attempts to connect since the last answer.
    """

    def __init__(self, conversation: Conversation, settings: LinkSettings, resume_within_s: float | None) -> None:
        self.settings = settings
        self.resume_within_s = resume_within_s
        self.resumes = 0
        self.fruitless = 0
        self._conversation = conversation
        self._dropped = False
        self._task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ready(self) -> None:
        """Return when there is a connection, or one is being resumed. Raises as `Link.open` does."""
        if self._works and self._loop is asyncio.get_running_loop():
            return
        self._enter_loop()
        conversation = self._conversation
        async with self._opening:
            if self._works:
                return
            if conversation.hello is None:
                link = await Link.open(self.settings, conversation.encoding)
                conversation.greet(link)
                link.start(conversation.receive)
                conversation.events.subscribe_all(link)
                conversation.link = link
            else:  # Lost while nobody needed it: to be resumed, as if somebody had.
                link = None
            self._task = asyncio.create_task(self._keep(link), name="openenv-v2-keeper")

    async def close(self) -> None:
        """Close the socket and fail what waits."""
        conversation = self._conversation
        task, self._task = self._task, None
        link, conversation.link = conversation.link, None
        if task is not None and self._loop is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        try:
            if link is not None:
                await link.close()
        finally:
            conversation.give_up("the client was closed")
            conversation.events.end()

    def abort(self) -> None:
        """Drop everything without a word, on the loop that it runs on."""
        if self._task is not None:
            self._task.cancel()
        if self._conversation.link is not None:
            self._conversation.link.break_off("the client was dropped")

    def abort_from_anywhere(self) -> bool:
        """`abort` from whatever thread this is; whether there was something to drop."""
        busy = self._conversation.link is not None or self._works
        if not busy or self._dropped or self._loop is None or self._loop.is_closed():
            return False
        self._dropped = True
        self._loop.call_soon_threadsafe(self.abort)
        return True

    @property
    def _works(self) -> bool:
        return self._task is not None and not self._task.done()

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None:
            if self._loop.is_running():
                raise ConfigurationError("This connection is in use on another event loop", hint="Use one connection per loop.")
            self._task, self._conversation.link = None, None
            self._conversation.pending.clear()
            self._conversation.give_up("the event loop that it ran on has ended")
        self._loop, self._opening = loop, asyncio.Lock()

    async def _keep(self, link: Link | None) -> None:
        """Replace the socket whenever it is lost, until nothing is left that would need one."""
        conversation = self._conversation
        while True:
            reason = "the connection was lost while nobody needed it"
            if link is not None:
                lost = await self._end_of(link)
                if lost.fatal:
                    conversation.give_up(lost.reason)
                    return
                if not conversation.seats and not conversation.pending and not conversation.events.wanted:
                    return
                reason = lost.reason
            link = await Resumption(conversation, reason).run()
            if link is None:
                return
            self.resumes += 1

    async def _end_of(self, link: Link) -> LinkLost:
        try:
            lost = await asyncio.shield(link.lost)
        except asyncio.CancelledError:
            link.break_off("the client's event loop ends")
            raise
        self._conversation.link = None
        await link.close()
        self._conversation.drop("never", lost)
        return lost
