"""What a server sends, and whom it is for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from openenv.client.loss import reason_of, session_lost
from openenv.client.v2.pending import Pending
from openenv.client.v2.wire import error_of
from openenv.errors import SessionLost

if TYPE_CHECKING:
    from openenv.client.v2.conversation import Conversation

__all__ = ["discard", "take"]

log = logging.getLogger("openenv.client")


def take(conversation: Conversation, frame: bytes) -> None:
    """Hand a frame to whoever waits for it. Raises ``ValueError`` where it is none."""
    message = _read(conversation, frame)
    number = message.get("id")
    if number is None:
        _unasked(conversation, message)
        return
    if type(number) is not int:
        raise ValueError(f"an answer whose id is no number: {frame[:80]!r}")
    pending = conversation.pending.get(number)
    if pending is None:
        return  # Taken back, or answered on another connection.
    if pending.ask.repeat != "never":
        conversation.keeper.fruitless = 0
    if conversation.keeper.settings.renews and not pending.renewed and _is_expired(message):
        # Nothing of it was begun, or what was is kept: on a connection with a new token it goes on.
        pending.renewed = True
        if conversation.link is not None:
            conversation.link.break_off("the token has expired")
    elif pending.ask.sink is not None and isinstance(message.get("session"), str):
        if pending.ask.sink(message):
            conversation.finish(pending)
            pending.answer(None)
    else:
        conversation.finish(pending, late=_is_late(pending, message))
        _answer(conversation, pending, message)


def _read(conversation: Conversation, frame: bytes) -> dict[str, Any]:
    try:
        message = conversation.encoding.decode(frame)
    except ValueError:
        raise ValueError(f"something that is not {conversation.encoding.name}: {frame[:80]!r}") from None
    if not isinstance(message, dict):
        raise ValueError(f"a frame that is no object: {frame[:80]!r}")
    return message


def _answer(conversation: Conversation, pending: Pending, message: dict[str, Any]) -> None:
    if "ok" not in message:
        _refused(conversation, pending, message.get("error"))
        return
    if pending.abandoned:
        discard(conversation, pending, message["ok"])
    pending.answer(message["ok"])


def _is_expired(message: dict[str, Any]) -> bool:
    """Whether an answer, or one of a batch's, says that the caller is nobody any more."""
    ok = message.get("ok")
    results = ok.get("results") if isinstance(ok, dict) else None
    for one in (message, *results) if isinstance(results, list) else (message,):
        error = one.get("error") if isinstance(one, dict) else None
        if isinstance(error, dict) and error.get("code") == "UNAUTHENTICATED":
            return True
    return False


def _is_late(pending: Pending, message: dict[str, Any]) -> bool:
    """Whether the answer says that the deadline of one session's effect has passed."""
    error = message.get("error")
    known = isinstance(error, dict) and error.get("code") == "DEADLINE_EXCEEDED"
    return known and pending.ask.one_effect


def discard(conversation: Conversation, pending: Pending, value: Any) -> None:
    """Close the sessions that came for somebody who has gone."""
    if pending.ask.op not in ("open", "fork") or not isinstance(value, dict):
        return
    for session in value.get("sessions") or ():
        if session not in conversation.seats:
            conversation.tell("close", {}, session=session)


def _refused(conversation: Conversation, pending: Pending, body: Any) -> None:
    error = error_of(body if isinstance(body, dict) else {"message": "the server sent neither ok nor error"})
    if isinstance(error, SessionLost) and len(pending.ask.seats) == 1 and pending.ask.op != "attach":
        [seat] = pending.ask.seats
        conversation.part(seat, reason_of(error))
        error = session_lost(seat.lost or "")  # why it was lost in the first place
    pending.fail(error)


def _unasked(conversation: Conversation, message: dict[str, Any]) -> None:
    if "event" in message:
        conversation.events.deliver(message)
    else:
        log.warning("the server complains about a frame: %s", message.get("error"))
