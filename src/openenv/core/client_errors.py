"""A client's errors under OpenEnv 0.10's paths: this project's own, and the built-in ones that 0.10's callers catch.

::

    ServerError       RuntimeError      "Server error: <message> (code: <code>)"
    └── ToolCallError RuntimeError      "Tool '<name>' failed: <message>"
    ConnectionFailed  ConnectionError   nobody answered
    SessionLost       ConnectionError   the socket and its session went away
    DeadlineExceeded  TimeoutError      no answer in time
    BadSetting        ValueError        a constructor's argument or a variable makes no sense
    BadValue          ValueError        an action cannot be sent

Each is also the class of the same kind in `openenv.errors`, with its ``code``, ``field``, ``hint`` and ``details``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from openenv import errors

__all__ = [
    "BadSetting",
    "BadValue",
    "ConnectionFailed",
    "DeadlineExceeded",
    "ServerError",
    "SessionLost",
    "ToolCallError",
    "spoken_as_0_10",
]


class ServerError(errors.ServerError):
    """The server answered with an error; its text is 0.10's to the letter, the hint is in ``hint`` only."""

    def __str__(self) -> str:
        return f"Server error: {self.message} (code: {self.code})"


class ToolCallError(ServerError):
    """A tool call failed; ``tool_name`` says which."""

    def __init__(self, message: str, *, tool_name: str, code: str, **known: Any) -> None:
        super().__init__(message, code=code, **known)
        self.tool_name = tool_name

    def __str__(self) -> str:
        return f"Tool {self.tool_name!r} failed: {self.message}"


class ConnectionFailed(errors.ConnectionFailed, ConnectionError):
    """No server answered at the address."""


class SessionLost(errors.SessionLost, ConnectionError):
    """The connection ended and its session with it; ``reset()`` opens a new one."""


class DeadlineExceeded(errors.DeadlineExceeded, TimeoutError):
    """The answer did not come in time."""


class BadSetting(errors.ConfigurationError, ValueError):
    """An argument or an environment variable makes no sense; the text names it."""


class BadValue(errors.ValidationFailed, ValueError):
    """An action or an argument that cannot be sent; the text says why."""


_TWINS: Mapping[type[errors.OpenEnvError], type[errors.OpenEnvError]] = {
    errors.ServerError: ServerError,
    errors.ConnectionFailed: ConnectionFailed,
    errors.SessionLost: SessionLost,
    errors.DeadlineExceeded: DeadlineExceeded,
    errors.ConfigurationError: BadSetting,
    errors.ValidationFailed: BadValue,
}


@contextmanager
def spoken_as_0_10() -> Iterator[None]:
    """What the project's client raises inside, raised as the twin that 0.10's callers catch."""
    try:
        yield
    except errors.OpenEnvError as error:
        twin = _TWINS.get(type(error))
        if twin is None:
            raise
        known: dict[str, Any] = {"code": error.code} if twin is ServerError else {}
        raise twin(
            error.message,
            field=error.field,
            hint=error.hint,
            example=error.example,
            errors=error.errors,
            details=error.details,
            **known,
        ) from error.__cause__
