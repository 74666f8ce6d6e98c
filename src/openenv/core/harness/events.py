"""What an agent does in a turn, as events, and the messages of ``/harness``."""

from __future__ import annotations

import time
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, Field

__all__ = [
    "HarnessClientMessage",
    "HarnessEvent",
    "HarnessEventType",
    "HarnessProtocolError",
    "HarnessResponse",
    "events_to_metadata",
]


class HarnessEventType(str, Enum):  # noqa: UP042 - as its text is in 0.10
    """The kinds of events, with what is in the ``data`` of each."""

    LLM_REQUEST = "llm_request"
    """``messages``, ``model``."""
    LLM_RESPONSE = "llm_response"
    """``content``, ``usage``."""
    LLM_CHUNK = "llm_chunk"
    """``content``, ``index``."""
    TOOL_CALL = "tool_call"
    """``tool_name``, ``arguments``."""
    TOOL_RESULT = "tool_result"
    """``tool_name``, ``result``, ``error``."""
    TEXT_OUTPUT = "text_output"
    """``text``."""
    ERROR = "error"
    """``message``, ``recoverable``."""
    TURN_COMPLETE = "turn_complete"
    """``response``, and ``done`` where the agent thinks that its task is."""


class HarnessEvent(BaseModel):
    """One event; its time in seconds since 1970."""

    type: HarnessEventType
    timestamp: float = Field(default_factory=time.time)
    data: dict[str, Any] = Field(default_factory=dict)


class HarnessResponse(BaseModel):
    """What came of a turn."""

    response: str
    events: list[HarnessEvent] = Field(default_factory=list)
    done: bool = False


class HarnessClientMessage(BaseModel):
    """What a client of ``/harness`` sends: the next thing that the user says."""

    type: Literal["message"]
    content: str


class HarnessProtocolError(BaseModel):
    """What a client of ``/harness`` is told of a frame that is no message: ``message`` and ``code``. The socket stays."""

    type: Literal["protocol_error"] = "protocol_error"
    data: dict[str, Any]


def events_to_metadata(events: list[HarnessEvent]) -> list[dict[str, Any]]:
    """The events as JSON knows them, for an observation's metadata."""
    return [event.model_dump(mode="json") for event in events]
