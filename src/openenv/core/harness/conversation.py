"""The messages of the WebSocket ``/harness``: a user talks to the agent of a `HarnessEnvironment`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from openenv.core.harness.adapter import HarnessError
from openenv.core.harness.environment import HarnessAction
from openenv.core.harness.events import HarnessClientMessage, HarnessEvent, HarnessEventType, HarnessProtocolError
from openenv.errors import Cancelled, ExecutionFailed, OpenEnvError, SessionError
from openenv.operation import Control, Result

__all__ = ["harness_messages"]

log = logging.getLogger("openenv.core.harness")


async def harness_messages(
    reset: Callable[[], Awaitable[Result]],
    turn: Callable[[HarnessAction, Control], Awaitable[Result]],
    receive: Callable[[], Awaitable[str | bytes | None]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
    *,
    session_id: str,
    harness: str,
) -> None:
    """The conversation of the WebSocket ``/harness``, over any transport; it ends when the socket is to be closed.

    Resets the environment and says ``session_started``. Then each message of the client is a turn whose events are sent
    as they come. A frame that is no message, and a turn that the server refuses to begin, are answered with
    ``protocol_error`` and change nothing. A turn that fails is told by an ``error`` event, and ends the conversation. A
    client that goes away ends its turn.

    Args:
        reset: Resets the environment of this socket's own session; closing it is the caller's.
        turn: Steps it with what the user says; the control gets the turn's events, and takes it back.
        receive: The client's next frame, or None when it has gone.
        send: Sends a frame. What it raises is raised here.
        session_id: What the client is told.
        harness: The agent's name, which it is told too.
    """
    begun = await reset()
    if begun.error is not None:
        code = "SESSION_ERROR" if isinstance(begun.error, ExecutionFailed) else begun.error.code
        told = _told(begun.error, "harness session failed")
        await send({"type": "error", "data": {"message": told, "code": code}})
        return
    await send({"type": "session_started", "data": {"session_id": session_id, "harness": harness}})
    coming: asyncio.Future[str | bytes | None] = asyncio.ensure_future(receive())
    try:
        while (frame := await coming) is not None:
            coming = asyncio.ensure_future(receive())
            action, refusal = _message_of(frame)
            if action is None:
                await send(refusal)
                continue
            result = await _turn(turn, action, coming, send)
            error = result.error
            if isinstance(error, ExecutionFailed):
                await send(_failure(_told(error, "harness turn failed")).model_dump(mode="json"))
                return
            if error is not None and not isinstance(error, Cancelled | SessionError):  # those end the conversation anyway
                await send(_refused(error.code, str(error)))
            seen = result.observation
            if seen is not None and result.done and "error_type" in seen.metadata:
                return
    finally:
        await _ended(coming)


async def _turn(
    turn: Callable[[HarnessAction, Control], Awaitable[Result]],
    action: HarnessAction,
    coming: asyncio.Future[Any],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> Result:
    """Do a turn and send its events; take it back if the client goes away meanwhile."""

    async def emit(event: HarnessEvent) -> None:
        try:
            await send(event.model_dump(mode="json"))
        except (OSError, RuntimeError):
            log.info("the client of a running turn hears no more")
            control.cancel()

    control = Control(on_event=emit)
    running = asyncio.ensure_future(turn(action, control))
    try:
        await asyncio.wait([running, coming], return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and (coming.exception() is not None or coming.result() is None):
            log.info("the client of a running turn has gone")
            control.cancel()
        await asyncio.wait([running])
    finally:
        if not running.done():
            control.cancel()
            await asyncio.wait([running])
    return running.result()


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


def _told(error: OpenEnvError, otherwise: str) -> str:
    """What the client may read: what the adapter or the server says on purpose, and of an accident only that it happened."""
    if not isinstance(error, ExecutionFailed):
        return str(error)
    return str(error.__cause__) if isinstance(error.__cause__, HarnessError) else otherwise
