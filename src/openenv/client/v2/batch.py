"""Many sessions stepped in one frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.client.loss import reason_of, session_lost
from openenv.client.v2.pending import Ask
from openenv.client.v2.session import RemoteSession
from openenv.client.v2.wire import error_of
from openenv.errors import BatchFailed, OpenEnvError, ServerError, SessionLost, ValidationFailed
from openenv.types import StepResult

if TYPE_CHECKING:
    from openenv.client.v2.conversation import Conversation
    from openenv.client.v2.pending import Pending

__all__ = ["Entry", "Reset", "as_finished", "failed", "together"]


@dataclass(frozen=True, slots=True)
class Reset:
    """In place of an action: begin an episode, with what the environment's ``reset`` takes."""

    options: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        object.__setattr__(self, "options", options)


Session = RemoteSession[Any, Any, Any]
Entry = tuple[Session, Any]
Outcome = StepResult[Any] | OpenEnvError


class _Asked:
    """The entries of one call, by their sessions: those that can be sent, and the errors of those that cannot."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.outcomes: list[Outcome | None] = [None] * len(entries)
        self.sessions = [session for session, _ in entries]
        self._written: dict[int, dict[str, Any]] = {}
        place_of: dict[str, int] = {}
        for place, (session, action) in enumerate(entries):
            if place_of.setdefault(session.id, place) != place:
                raise ValidationFailed(
                    f"The entries {place_of[session.id]} and {place} are of the same session",
                    hint="A session takes one step in a batch: send the second one in the next.",
                )
            try:
                session._seat.check()
                self._written[place] = _written(session, action)
            except (SessionLost, ValidationFailed) as error:
                self.outcomes[place] = error

    @property
    def sent(self) -> list[int]:
        """The places of those that can be sent."""
        return list(self._written)

    async def begin(
        self, conversation: Conversation, places: list[int], timeout_s: float | None, news: asyncio.Queue[list[int]] | None = None
    ) -> tuple[list[int], Pending | None]:
        """Send a frame of these entries, less those whose sessions are lost before it is written; what was sent, and as what.

        Args:
            conversation: It goes this way.
            places: Of the entries.
            timeout_s: How long each may take.
            news: Hears of answers one by one, as they come; without it they come together.
        """
        while places:
            seats = tuple(self.sessions[place]._seat for place in places)
            data: dict[str, Any] = {"entries": [self._written[place] for place in places]}
            sink = None
            if news is not None:
                data["as_finished"], sink = True, _sink(self, places, news)
            try:
                ask = Ask("batch", data, seats=seats, repeat="same", timeout_s=timeout_s, sink=sink)
                return places, await conversation.begin(ask)
            except SessionLost:
                gone = [place for place in places if self.sessions[place].lost is not None]
                if not gone:
                    raise
            for place in gone:
                self.outcomes[place] = session_lost(self.sessions[place].lost or "")
            places = [place for place in places if place not in gone]
            if news is not None:
                news.put_nowait(gone)
        return places, None

    def heard(self, place: int, answer: Any) -> Outcome:
        """Take one entry's answer."""
        session = self.sessions[place]
        outcome: Outcome
        try:
            if not isinstance(answer, dict):
                raise _unusable("an entry is no object")
            told = answer.get("ok")
            if isinstance(told, dict):
                outcome = session._taken(told)
            else:
                body = answer.get("error")
                outcome = error_of(body if isinstance(body, dict) else {})
                if isinstance(outcome, SessionLost):
                    session._conversation.part(session._seat, reason_of(outcome))
        except OpenEnvError as error:
            outcome = error
        self.outcomes[place] = outcome
        return outcome

    def heard_all(self, places: Sequence[int], answer: Any) -> None:
        """Take a frame's answer; the error of a frame is that of each of its entries."""
        results = answer.get("results") if isinstance(answer, dict) else None
        if isinstance(results, list) and len(results) == len(places):
            for place, result in zip(places, results, strict=True):
                self.heard(place, result)
            return
        error = answer if isinstance(answer, OpenEnvError) else _unusable("a batch has not a result for each entry")
        for place in places:
            self.outcomes[place] = error


def _unusable(why: str) -> ServerError:
    return ServerError(f"The answer to {why}", code="INTERNAL_ERROR")


def _written(session: Session, action: Any) -> dict[str, Any]:
    if isinstance(action, Reset):
        return {"session": session.id, "reset": action.options}
    return {"session": session.id, "action": session._forms.payload(action)}


async def together(conversation: Conversation, entries: Sequence[Entry], timeout_s: float | None) -> list[Outcome]:
    """Step all, and return what each came to, in order: its result, or its error."""
    asked = _Asked(entries)
    begun: list[tuple[list[int], Pending]] = []
    try:
        if asked.sent:
            await conversation.keeper.ready()  # the limits are known then
        for some in _frames(asked.sent, conversation.limits.batch):
            places, pending = await asked.begin(conversation, some, timeout_s)
            if pending is not None:
                begun.append((places, pending))
        for places, pending in begun:
            asked.heard_all(places, await _answer(conversation, pending))
    except BaseException:
        for _, pending in begun:
            conversation.abandon(pending)
        raise
    return [outcome for outcome in asked.outcomes if outcome is not None]


async def _answer(conversation: Conversation, pending: Pending) -> Any:
    try:
        return await conversation.wait(pending)
    except OpenEnvError as error:
        return error


def _frames(places: list[int], most: int) -> list[list[int]]:
    """What goes into each frame."""
    return [places[start : start + most] for start in range(0, len(places), most)]


async def as_finished(
    conversation: Conversation, entries: Sequence[Entry], timeout_s: float | None
) -> AsyncIterator[tuple[int, Outcome]]:
    """Step all, and give what each came to as soon as it is there, with its place."""
    asked = _Asked(entries)
    news: asyncio.Queue[list[int]] = asyncio.Queue()
    left = set(asked.sent)
    for place, outcome in enumerate(asked.outcomes):
        if outcome is not None:
            yield place, outcome
    begun: list[Pending] = []
    try:
        if asked.sent:
            await conversation.keeper.ready()
        for some in _frames(asked.sent, conversation.limits.batch):
            places, pending = await asked.begin(conversation, some, timeout_s, news)
            if pending is not None:
                pending.future.add_done_callback(_ending(asked, places, news))
                begun.append(pending)
        while left:
            for place in await news.get():
                if place in left:
                    left.discard(place)
                    outcome = asked.outcomes[place]
                    assert outcome is not None
                    yield place, outcome
    finally:
        for pending in begun:
            conversation.abandon(pending)


def _sink(asked: _Asked, places: Sequence[int], news: asyncio.Queue[list[int]]) -> Callable[[dict[str, Any]], bool]:
    """What takes the answers to a frame's entries, one by one."""
    waiting = {asked.sessions[place].id: place for place in places}

    def sink(message: dict[str, Any]) -> bool:
        place = waiting.pop(message["session"], None)
        if place is not None:  # else it came before the connection was lost
            asked.heard(place, message)
            news.put_nowait([place])
        return not waiting

    return sink


def _ending(asked: _Asked, places: Sequence[int], news: asyncio.Queue[list[int]]) -> Callable[[asyncio.Future[Any]], None]:
    """What tells the entries without an answer why there will be none."""

    def ended(future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, OpenEnvError):
            for place in places:
                if asked.outcomes[place] is None:
                    asked.outcomes[place] = error
            news.put_nowait(list(places))

    return ended


def failed(outcomes: Sequence[Outcome]) -> BatchFailed:
    """The error that tells of those that failed, and has all results."""
    failures = {place: one for place, one in enumerate(outcomes) if isinstance(one, OpenEnvError)}
    place, first = next(iter(failures.items()))
    lost = next((one.hint or "" for one in failures.values() if isinstance(one, SessionLost)), "")
    others = "`results` has every error." if len(failures) == len(outcomes) else "The others were taken: `results` has all."
    return BatchFailed(
        f"{len(failures)} of {len(outcomes)} steps failed; the first one is number {place}: {first}",
        results=outcomes,
        hint=others + (lost and f" {lost}"),
    )
