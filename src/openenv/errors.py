"""Every exception that OpenEnv raises on purpose, in one tree.

::

    OpenEnvError                        INTERNAL_ERROR
    ├── InvalidFrame                    INVALID_JSON         bytes that are not a message
    ├── UnknownType                     UNKNOWN_TYPE         a message of a kind that nobody knows
    ├── ValidationFailed                VALIDATION_ERROR     a message, action or argument of the wrong shape
    │   └── InvalidArguments            INVALID_ARGUMENTS    a tool's arguments
    ├── ToolNotFound                    TOOL_NOT_FOUND
    ├── ToolFailed                      (the tool's own)     a tool that says no: its code, field, hint, example
    ├── Unsupported                     UNSUPPORTED          the environment cannot do this at all
    ├── ExecutionFailed                 EXECUTION_ERROR      the environment raised
    │   ├── LaneLost                    LANE_LOST            its thread hung past the limit; the world is gone
    │   │   ├── WorkerCrashed           WORKER_CRASHED       its worker process ended: a signal, or an exit
    │   │   ├── WorkerMemory            WORKER_MEMORY        it held more than its process may
    │   │   └── WorkerTimeout           WORKER_TIMEOUT       it ran past its limit or deadline in its process
    │   └── ToolServerFailed            TOOL_SERVER_FAILED   the MCP server behind it ended, or is of no use
    ├── CapacityReached                 CAPACITY_REACHED     no slot free; comes with a retry hint
    │   └── Overloaded                  OVERLOADED           a queue or a pool is full
    ├── RateLimited                     RATE_LIMITED         too much in too short a time; says when to come back
    ├── ShuttingDown                    SHUTTING_DOWN        the server drains; comes with a retry hint
    ├── FactoryFailed                   FACTORY_ERROR        the factory raised: there is no environment
    ├── EpisodeOver                     EPISODE_OVER         the task has ended; reset to begin another episode
    ├── SnapshotRefused                 SNAPSHOT_REFUSED     not a snapshot of this environment, or nobody's
    ├── IdReused                        ID_REUSED            (v2) one id for two requests
    ├── AnswerGone                      ANSWER_GONE          (v2) a repeat whose answer is not kept any more
    ├── SessionError                    SESSION_ERROR        an unknown, closed or taken session
    │   └── SessionLost                 SESSION_LOST         (client) the socket went away and the world with it
    ├── Unauthenticated                 UNAUTHENTICATED      nobody, or a bad token
    ├── Forbidden                       FORBIDDEN            somebody, but not allowed
    ├── QueryRefused                    QUERY_REFUSED        SQL that does more than read, or is not one statement
    │   └── QueryTooExpensive           QUERY_TOO_EXPENSIVE  SQL past its budget of work, rows or bytes
    ├── PayloadTooLarge                 PAYLOAD_TOO_LARGE    a body over the limit
    ├── ConnectionFailed                CONNECTION_FAILED    (client) no server answered
    ├── DeadlineExceeded                DEADLINE_EXCEEDED    no answer in time
    ├── Cancelled                       CANCELLED            the caller took the operation back
    ├── ServerError                     (the server's code)  (client) the server answered with an error
    ├── BatchFailed                     BATCH_FAILED         (client) some of many steps failed; it has all results
    └── ConfigurationError              CONFIGURATION_ERROR  the author or operator has to mend something

A class's ``code`` is stable: clients may match on it. ``field``, ``hint`` and ``example`` say where the fault lies and
what to do; ``errors`` is pydantic's list for what came from validation; ``details`` are further keys of the error body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class OpenEnvError(Exception):
    """The root: catch it to catch everything that OpenEnv raises on purpose."""

    code: str = "INTERNAL_ERROR"
    http_status: ClassVar[int] = 500

    told = False
    """Whether the middleware of this server has seen it."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        example: Any = None,
        errors: Sequence[Mapping[str, Any]] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint
        self.example = example
        self.errors = list(errors) if errors is not None else None
        self.details = dict(details) if details else {}

    def body(self) -> dict[str, Any]:
        """The error as it goes over the wire: ``message``, ``code`` and what else is known."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        for key in ("field", "hint", "example"):
            value = getattr(self, key)
            if value is not None:
                body[key] = value
        return body | self.details


class InvalidFrame(OpenEnvError):
    """The bytes are not JSON."""

    code = "INVALID_JSON"
    http_status = 422


class UnknownType(OpenEnvError):
    """The message names a type that the dialect does not have."""

    code = "UNKNOWN_TYPE"
    http_status = 422


class ValidationFailed(OpenEnvError):
    """The message, the action or an argument has the wrong shape."""

    code = "VALIDATION_ERROR"
    http_status = 422


class InvalidArguments(ValidationFailed):
    """A tool's arguments do not fit its schema; the tool was not called."""

    code = "INVALID_ARGUMENTS"


class ToolNotFound(OpenEnvError):
    """No tool has this name."""

    code = "TOOL_NOT_FOUND"
    http_status = 404


class ToolFailed(OpenEnvError):
    """Raised by a tool to say no in a structured way: ``raise ToolFailed("…", code="NOT_FOUND", field="calendarId")``."""

    code = "TOOL_FAILED"
    http_status = 400

    def __init__(self, message: str, *, code: str | None = None, **known: Any) -> None:
        super().__init__(message, **known)
        if code is not None:
            self.code = code


class Unsupported(OpenEnvError):
    """The environment has no such capability (no tools, no database, no seed)."""

    code = "UNSUPPORTED"
    http_status = 501


class ExecutionFailed(OpenEnvError):
    """The environment raised; the message is the exception's, the traceback is in the server's log only."""

    code = "EXECUTION_ERROR"


class LaneLost(ExecutionFailed):
    """The environment's thread did not come back within the hang limit: its world is lost."""

    code = "LANE_LOST"


class WorkerCrashed(LaneLost):
    """The environment's worker process ended, and its world with it. ``details`` has the ``signal`` or the ``exit_code``."""

    code = "WORKER_CRASHED"


class WorkerMemory(LaneLost):
    """The environment held more than its worker process may (``limit_mb`` in ``details``): the process was ended."""

    code = "WORKER_MEMORY"


class WorkerTimeout(LaneLost):
    """An operation ran past a limit (``limit`` in ``details`` says which, ``limit_s`` how much): the worker process was ended."""

    code = "WORKER_TIMEOUT"


class ToolServerFailed(ExecutionFailed):
    """The MCP server that an environment is made of ended, cannot be reached, or breaks a bound. ``reset`` starts it anew."""

    code = "TOOL_SERVER_FAILED"
    http_status = 502


class CapacityReached(OpenEnvError):
    """Every session slot is taken. ``details`` has ``active_sessions`` and ``max_sessions``."""

    code = "CAPACITY_REACHED"
    http_status = 503

    def __init__(self, message: str, *, retry_after_s: float = 1.0, **known: Any) -> None:
        super().__init__(message, **known)
        self.retry_after_s = retry_after_s


class Overloaded(CapacityReached):
    """A bounded queue or pool is full."""

    code = "OVERLOADED"


class RateLimited(OpenEnvError):
    """The caller asked for more than its share. ``retry_after_s`` is when the same would be let in, and in ``details`` too."""

    code = "RATE_LIMITED"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float, **known: Any) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message, details={"retry_after_s": round(retry_after_s, 3)}, **known)


class ShuttingDown(OpenEnvError):
    """The server drains: it finishes what it began and takes nothing new."""

    code = "SHUTTING_DOWN"
    http_status = 503
    retry_after_s: float = 2.0


class FactoryFailed(OpenEnvError):
    """The environment's factory raised, so there is no environment."""

    code = "FACTORY_ERROR"


class EpisodeOver(OpenEnvError):
    """The episode of a scenario has ended; only ``reset`` goes on."""

    code = "EPISODE_OVER"
    http_status = 409


class SnapshotRefused(OpenEnvError):
    """The bytes are no snapshot of this environment, version and types, or no server with this key has made them."""

    code = "SNAPSHOT_REFUSED"
    http_status = 422


class IdReused(OpenEnvError):
    """A request has the id of another one of its session."""

    code = "ID_REUSED"
    http_status = 409


class AnswerGone(OpenEnvError):
    """A request that was done comes again, and its answer is not kept any more. It is not done again."""

    code = "ANSWER_GONE"
    http_status = 410


class SessionError(OpenEnvError):
    """The session is unknown, closed, or another socket holds it."""

    code = "SESSION_ERROR"
    http_status = 404


class SessionLost(SessionError):
    """(client) The connection ended and the session with it; ``reset()`` opens a new one."""

    code = "SESSION_LOST"


class Unauthenticated(OpenEnvError):
    """The caller is nobody, or its token is wrong."""

    code = "UNAUTHENTICATED"
    http_status = 401
    challenge: str = "Bearer"
    """What goes into ``WWW-Authenticate`` over HTTP."""


class Forbidden(OpenEnvError):
    """The caller is known, but may not do this."""

    code = "FORBIDDEN"
    http_status = 403


class QueryRefused(OpenEnvError):
    """The SQL does more than read, or is not one statement."""

    code = "QUERY_REFUSED"
    http_status = 422


class QueryTooExpensive(QueryRefused):
    """The SQL ran past its budget of work, time, rows or bytes."""

    code = "QUERY_TOO_EXPENSIVE"


class PayloadTooLarge(OpenEnvError):
    """The body is larger than the server takes."""

    code = "PAYLOAD_TOO_LARGE"
    http_status = 413


class ConnectionFailed(OpenEnvError):
    """(client) No server answered at the address."""

    code = "CONNECTION_FAILED"


class DeadlineExceeded(OpenEnvError):
    """The answer did not come in time. What the work led to, if it could not be stopped, is to be had by asking again (v2)."""

    code = "DEADLINE_EXCEEDED"
    http_status = 504


class Cancelled(OpenEnvError):
    """The caller took the operation back before it had ended."""

    code = "CANCELLED"
    http_status = 499


class ServerError(OpenEnvError, RuntimeError):
    """(client) The server answered with an error; ``code`` is the server's. Also a ``RuntimeError``, as in OpenEnv 0.10."""

    def __init__(self, message: str, *, code: str, **known: Any) -> None:
        super().__init__(message, **known)
        self.code = code

    def __str__(self) -> str:
        hint = f" Hint: {self.hint}" if self.hint else ""
        return f"Server error: {self.message} (code: {self.code}){hint}"


class BatchFailed(OpenEnvError):
    """(client) Some of the steps that were taken together failed. Nothing is lost: the others have been taken.

    Attributes:
        results: One for each entry, in order: its `StepResult`, or its error.
    """

    code = "BATCH_FAILED"

    def __init__(self, message: str, *, results: Sequence[Any] = (), **known: Any) -> None:
        super().__init__(message, **known)
        self.results = list(results)

    @property
    def failures(self) -> dict[int, OpenEnvError]:
        """The errors, by the places of their entries."""
        return {place: one for place, one in enumerate(self.results) if isinstance(one, OpenEnvError)}


class ConfigurationError(OpenEnvError):
    """Something that the author of an environment or the operator of a server has to mend."""

    code = "CONFIGURATION_ERROR"
