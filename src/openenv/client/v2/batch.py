"""Many sessions stepped in one frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.client.v2.session import RemoteSession
from openenv.client.v2.wire import error_of
from openenv.errors import BatchFailed, OpenEnvError, ServerError, SessionLost, ValidationFailed
from openenv.types import StepResult

if TYPE_CHECKING:
    from openenv.client.v2.channel import Channel
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
        self.sent: list[int] = []
        self._written: list[dict[str, Any]] = []
        place_of: dict[str, int] = {}
        for place, (session, action) in enumerate(entries):
            if place_of.setdefault(session.id, place) != place:
                raise ValidationFailed(
                    f"The entries {place_of[session.id]} and {place} are of the same session",
                    hint="A session takes one step in a batch: send the second one in the next.",
                )
            try:
                session._seat.check()
                self._written.append(_written(session, action))
                self.sent.append(place)
            except (SessionLost, ValidationFailed) as error:
                self.outcomes[place] = error

    def frames(self, most: int) -> list[tuple[list[int], list[dict[str, Any]]]]:
        """What goes into each frame: the places, and their entries."""
        return [
            (self.sent[start : start + most], self._written[start : start + most])
            for start in range(0, len(self.sent), most)
        ]

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
                    session._channel.part(session._seat, str(outcome).removeprefix("The session is lost: "))
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


async def together(channel: Channel, entries: Sequence[Entry], timeout_s: float | None) -> list[Outcome]:
    """Step all, and return what each came to, in order: its result, or its error."""
    asked = _Asked(entries)
    begun: list[tuple[list[int], Pending]] = []
    try:
        if asked.sent:
            await channel.ready()  # the limits are known then
        for places, written in asked.frames(channel.limits.batch):
            seats = tuple(asked.sessions[place]._seat for place in places)
            pending = await channel.begin("batch", {"entries": written}, seats=seats, repeat="same", timeout_s=timeout_s)
            begun.append((places, pending))
        for places, pending in begun:
            asked.heard_all(places, await _answer(channel, pending))
    except BaseException:
        for _, pending in begun:
            channel.abandon(pending)
        raise
    return [outcome for outcome in asked.outcomes if outcome is not None]


async def _answer(channel: Channel, pending: Pending) -> Any:
    try:
        return await channel.wait(pending)
    except OpenEnvError as error:
        return error


async def as_finished(
    channel: Channel, entries: Sequence[Entry], timeout_s: float | None
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
            await channel.ready()
        for places, written in asked.frames(channel.limits.batch):
            seats = tuple(asked.sessions[place]._seat for place in places)
            data = {"entries": written, "as_finished": True}
            sink = _sink(asked, places, news)
            pending = await channel.begin("batch", data, seats=seats, repeat="same", timeout_s=timeout_s, sink=sink)
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
            channel.abandon(pending)


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
    return BatchFailed(
        f"{len(failures)} of {len(outcomes)} steps failed; the first one is number {place}: {first}",
        results=outcomes,
        hint="The others were taken: `results` has what each came to.",
    )
