"""What environments raise, of whatever class."""

from __future__ import annotations

import asyncio
import logging

__all__ = ["is_stopped", "text_of"]

log = logging.getLogger("openenv.runtime")


def is_stopped(error: BaseException) -> bool:
    """Whether this is the cancelling of the task that runs now, and not something that an environment raised."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


def text_of(error: BaseException) -> str:
    """What an exception says, whatever its class does when it is asked."""
    try:
        text = str(error)
    except Exception:
        log.debug("an exception has no text", exc_info=True)
        return f"{type(error).__name__} (it has no text)"
    if isinstance(error, Exception) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__  # a MemoryError, a SystemExit of 3
