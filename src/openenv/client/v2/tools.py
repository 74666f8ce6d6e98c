"""What a tool call came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openenv.client import frames
from openenv.errors import InvalidArguments, OpenEnvError, ServerError, ToolFailed, ToolNotFound

__all__ = ["tool_value"]


def tool_value(answer: Mapping[str, Any]) -> Any:
    """The tool's value in the answer to a ``call_tool``.

    Raises:
        ToolNotFound, InvalidArguments, ToolFailed: What the tool, or the registry, said.
        ServerError: The answer has no tool.
    """
    told = answer.get("tool")
    if not isinstance(told, dict):
        raise ServerError("The answer to call_tool has no tool", code="INTERNAL_ERROR")
    body = told.get("error")
    if body is not None:
        raise _failure(body if isinstance(body, dict) else {"message": str(body)})
    return told.get("result")


def _failure(body: Mapping[str, Any]) -> OpenEnvError:
    message, code, known = frames.text_of(body.get("message"), "no message"), body.get("code"), frames.known_of(body)
    if code == ToolNotFound.code:
        return ToolNotFound(message, **known)
    if code == InvalidArguments.code:
        return InvalidArguments(message, **known)
    return ToolFailed(message, code=frames.text_of(code, "EXECUTION_ERROR"), **known)
