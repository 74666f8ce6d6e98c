"""What a server sends, and whom it is for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from openenv.client.v2.pending import Pending
from openenv.client.v2.wire import error_of, session_lost
from openenv.errors import SessionLost

if TYPE_CHECKING:
    from openenv.client.v2.channel import Channel

__all__ = ["discard", "take"]

log = logging.getLogger("openenv.client")


def take(channel: Channel, frame: bytes) -> None:
    """Hand a frame to whoever waits for it. Raises ``ValueError`` where it is none."""
    message = _read(channel, frame)
    number = message.get("id")
    if number is None:
        _unasked(channel, message)
        return
    if type(number) is not int:
        raise ValueError(f"an answer whose id is no number: {frame[:80]!r}")
    pending = channel.pending.get(number)
    if pending is None:
        return  # Taken back, or answered on another connection.
    if pending.repeat != "never":
        channel.fruitless = 0
    if channel.settings.renews and not pending.renewed and _is_expired(message):
        # Nothing of it was begun, or what was is kept: on a connection with a new token it goes on.
        pending.renewed = True
        if channel.link is not None:
            channel.link.break_off("the token has expired")
    elif pending.sink is not None and isinstance(message.get("session"), str):
        if pending.sink(message):
            channel.finish(pending)
            pending.answer(None)
    else:
        channel.finish(pending, late=_is_late(pending, message))
        _answer(channel, pending, message)


def _read(channel: Channel, frame: bytes) -> dict[str, Any]:
    try:
        message = channel.encoding.decode(frame)
    except ValueError:
        raise ValueError(f"something that is not {channel.encoding.name}: {frame[:80]!r}") from None
    if not isinstance(message, dict):
        raise ValueError(f"a frame that is no object: {frame[:80]!r}")
    return message


def _answer(channel: Channel, pending: Pending, message: dict[str, Any]) -> None:
    if "ok" not in message:
        _refused(channel, pending, message.get("error"))
        return
    if pending.abandoned:
        discard(channel, pending, message["ok"])
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
    return known and pending.repeat == "same" and len(pending.seats) == 1


def discard(channel: Channel, pending: Pending, value: Any) -> None:
    """Close the sessions that came for somebody who has gone."""
    if pending.message["op"] not in ("open", "fork") or not isinstance(value, dict):
        return
    for session in value.get("sessions") or ():
        if session not in channel.seats:
            channel.tell("close", {}, session=session)


def _refused(channel: Channel, pending: Pending, body: Any) -> None:
    error = error_of(body if isinstance(body, dict) else {"message": "the server sent neither ok nor error"})
    if isinstance(error, SessionLost) and len(pending.seats) == 1 and pending.message["op"] != "attach":
        seat = pending.seats[0]
        channel.part(seat, str(error).removeprefix("The session is lost: "))
        error = session_lost(seat.lost or "")  # why it was lost in the first place
    pending.fail(error)


def _unasked(channel: Channel, message: dict[str, Any]) -> None:
    if "event" in message:
        channel.events.deliver(message)
    else:
        log.warning("the server complains about a frame: %s", message.get("error"))
