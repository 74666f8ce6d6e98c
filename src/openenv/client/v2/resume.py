"""Getting a lost connection's sessions back: connect, attach, send again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from openenv.client.loss import reason_of
from openenv.client.v2.link import Link, LinkLost, is_permanent
from openenv.client.v2.pending import Ask, Seat
from openenv.errors import OpenEnvError, SessionLost

if TYPE_CHECKING:
    from openenv.client.v2.conversation import Conversation

__all__ = ["Resumption"]

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 2.0
_LATER = frozenset({"CAPACITY_REACHED", "OVERLOADED", "RATE_LIMITED", "SHUTTING_DOWN"})
"""What a server says that will take the session back, but not now."""


class Resumption:
    """One loss, and the attempts to make it good: until one succeeds, or the sessions cannot be there any more."""

    def __init__(self, conversation: Conversation, reason: str) -> None:
        self._conversation = conversation
        self._reason = reason
        self._clock = asyncio.get_running_loop().time
        within = conversation.keeper.resume_within_s
        self._until = self._clock() + (conversation.limits.lease_s if within is None else within)

    async def run(self) -> Link | None:
        """The new link, which carries everything that has no answer yet; or None, and everything is lost."""
        conversation, keeper = self._conversation, self._conversation.keeper
        last = self._reason
        while True:
            if keeper.fruitless:
                pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(keeper.fruitless, 12)) * random.uniform(0.5, 1.0)
                await asyncio.sleep(min(pause, max(0.0, self._until - self._clock())))
            keeper.fruitless += 1
            try:
                async with asyncio.timeout_at(self._until):
                    link = await Link.open(keeper.settings, conversation.encoding)
                    await self._settle(link)
                    return link
            except LinkLost as lost:
                last = lost.reason
                if lost.fatal:
                    conversation.give_up(last)
                    return None
            except OpenEnvError as error:
                last = str(error)
                if is_permanent(error):
                    conversation.give_up(f"{self._reason}; and then: {last} (code: {error.code})")
                    return None
            except TimeoutError:
                pass
            if self._clock() >= self._until:
                conversation.give_up(f"{self._reason}; it could not be resumed in time: {last}")
                return None

    async def _settle(self, link: Link) -> None:
        conversation = self._conversation
        conversation.greet(link)
        link.lost.add_done_callback(self._drop_attempts)
        link.start(conversation.receive)
        try:
            waiting = list(conversation.seats.values())
            while waiting:
                waiting = await self._attach(link, waiting)
            conversation.events.subscribe_all(link)
        except BaseException:
            await link.close()
            raise
        finally:
            link.lost.remove_done_callback(self._drop_attempts)
        # Nothing may come between: what is asked for from now on comes after what is sent again here.
        for pending in list(conversation.pending.values()):
            if pending.abandoned:
                conversation.finish(pending)
            elif pending.ask.repeat == "same":
                conversation.send(link, pending)
            else:
                conversation.send_anew(link, pending)
        conversation.link = link

    async def _attach(self, link: Link, seats: list[Seat]) -> list[Seat]:
        """Attach sessions; those that are to be tried again, after a pause."""
        conversation = self._conversation
        asked = [conversation.make(Ask.about("attach", seat, repeat="never")) for seat in seats]
        for pending in asked:
            conversation.send(link, pending)
        if link.lost.done():  # before those were there to be told
            raise link.lost.result()
        answers = await asyncio.gather(*(pending.future for pending in asked), return_exceptions=True)
        later: list[Seat] = []
        pause = 0.0
        for seat, answer in zip(seats, answers, strict=True):
            if isinstance(answer, SessionLost):
                conversation.lose(seat, reason_of(answer))
            elif isinstance(answer, OpenEnvError) and answer.code in _LATER:
                later.append(seat)
                wanted = answer.details.get("retry_after_s")
                pause = max(pause, wanted if isinstance(wanted, int | float) else 0.2)
            elif isinstance(answer, OpenEnvError):
                conversation.lose(seat, str(answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                conversation.count_from(answer.get("last_id"))
        if later:
            await asyncio.sleep(pause)
        return later

    def _drop_attempts(self, lost: asyncio.Future[LinkLost]) -> None:
        """A socket ended while it was being made ready: so do the requests that belong to it alone."""
        with contextlib.suppress(asyncio.CancelledError):
            self._conversation.drop("never", lost.result())
