"""The messages of the WebSocket ``/harness``: a user talks to the agent of a `HarnessEnvironment`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from openenv.core.harness.adapter import HarnessError
from openenv.core.harness.environment import HarnessAction, HarnessEnvironment
from openenv.core.harness.events import HarnessClientMessage, HarnessEvent, HarnessEventType, HarnessProtocolError

__all__ = ["harness_messages"]

log = logging.getLogger("openenv.core.harness")


async def harness_messages(
    environment: HarnessEnvironment,
    receive: Callable[[], Awaitable[str | bytes | None]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    *,
    session_id: str,
) -> None:
    """The conversation of the WebSocket ``/harness``, over any transport; it ends when the socket is to be closed.

    Resets the environment and says ``session_started``. Then each message of the client is a turn whose events are sent
    as they come. A frame that is no message is answered with ``protocol_error`` and changes nothing. A turn that fails
    is told by an ``error`` event, and ends the conversation. A client that goes away ends its turn.

    Args:
        environment: Of this socket's own session; closing it is the caller's.
        receive: The client's next frame, or None when it has gone.
        send: Sends a frame. What it raises is raised here.
        session_id: What the client is told.
    """
    try:
        await environment.reset_async()
    except Exception as error:  # an adapter is anybody's code
        log.warning("the agent of session %s did not start", session_id, exc_info=True)
        await send({"type": "error", "data": {"message": _told(error, "harness session failed"), "code": "SESSION_ERROR"}})
        return
    name = environment.adapter.config.name
    await send({"type": "session_started", "data": {"session_id": session_id, "harness": name}})

    async def emit(event: HarnessEvent) -> None:
        await send(event.model_dump(mode="json"))

    coming: asyncio.Future[str | bytes | None] = asyncio.ensure_future(receive())
    try:
        while (frame := await coming) is not None:
            coming = asyncio.ensure_future(receive())
            action, refusal = _message_of(frame)
            if action is None:
                await send(refusal)
                continue
            turn = asyncio.ensure_future(environment.turn(action, emit=emit))
            try:
                await _unless_gone(turn, coming)
                if turn.cancelled():
                    continue
                seen = turn.result()
            except Exception as error:  # the same
                log.warning("a turn of session %s failed", session_id, exc_info=True)
                await emit(_failure(_told(error, "harness turn failed")))
                return
            finally:
                await _ended(turn)
            if seen.done and "error_type" in seen.metadata:
                return
    finally:
        await _ended(coming)


async def _unless_gone(turn: asyncio.Future[Any], coming: asyncio.Future[str | bytes | None]) -> None:
    """Wait for the turn; cancel it if the client goes away meanwhile."""
    await asyncio.wait([turn, coming], return_when=asyncio.FIRST_COMPLETED)
    if not turn.done() and (coming.exception() is not None or coming.result() is None):
        log.info("the client of a running turn has gone")
        turn.cancel()
    await asyncio.wait([turn])


async def _ended(work: asyncio.Future[Any]) -> None:
    """Cancel what is not wanted any more, and wait until it has let go."""
    if work.cancel():
        await asyncio.wait([work])
    if not work.cancelled():
        work.exception()


def _message_of(frame: str | bytes) -> tuple[HarnessAction | None, dict[str, Any]]:
    """The message in a frame, or the refusal."""
    if isinstance(frame, bytes):
        return None, _refused("VALIDATION_ERROR", "Invalid message: frames must be text, not binary")
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError) as error:
        return None, _refused("INVALID_JSON", f"Invalid JSON: {error}")
    try:
        return HarnessAction(message=HarnessClientMessage.model_validate(found).content), {}
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'frame'}: {one['msg']}" for one in error.errors())
        return None, _refused("VALIDATION_ERROR", f"Invalid message: {faults}")


def _refused(code: str, message: str) -> dict[str, Any]:
    return HarnessProtocolError(data={"message": message, "code": code}).model_dump()


def _failure(message: str) -> HarnessEvent:
    return HarnessEvent(type=HarnessEventType.ERROR, data={"message": message, "recoverable": False})


def _told(error: Exception, otherwise: str) -> str:
    """What the client may read: what the adapter says on purpose, and of an accident only that it happened."""
    return str(error) if isinstance(error, HarnessError) else otherwise
