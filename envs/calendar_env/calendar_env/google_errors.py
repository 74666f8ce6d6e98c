"""Refusals as Google Calendar words them: a stable code for programs, Google's envelope, and what to do for whoever reads.

Reasons and domains follow the errors guide of Google's Calendar API v3.
"""

from __future__ import annotations

from typing import Any, ClassVar

from openenv.errors import InvalidArguments, OpenEnvError, ToolFailed


class CalendarError(ToolFailed):
    """A request that the calendar service refuses."""

    default_code: ClassVar[str] = "INVALID_ARGUMENTS"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        domain: str = "global",
        location: str | None = None,
        location_type: str = "parameter",
        hint: str | None = None,
        example: Any = None,
    ) -> None:
        details = {"google": envelope(self.http_status, message, reason, domain, location, location_type)}
        super().__init__(message, code=self.default_code, field=location, hint=hint, example=example, details=details)
        self.reason = reason


class Invalid(CalendarError):
    """400: a value that does not fit, or one that is missing."""

    http_status = 400


class Denied(CalendarError):
    """403: the caller sees the thing, but may not do this to it."""

    http_status = 403
    default_code = "FORBIDDEN"


class NotFound(CalendarError):
    """404: it does not exist, or the caller has no access at all; nobody is told which."""

    http_status = 404
    default_code = "NOT_FOUND"


class Duplicate(CalendarError):
    """409: the identifier is taken."""

    http_status = 409
    default_code = "DUPLICATE"


class Gone(CalendarError):
    """410: it was deleted, or a token is too old."""

    http_status = 410
    default_code = "GONE"


def envelope(
    status: int, message: str, reason: str, domain: str = "global", location: str | None = None, location_type: str = "parameter"
) -> dict[str, Any]:
    """Google's error envelope."""
    one: dict[str, Any] = {"domain": domain, "reason": reason, "message": message}
    if location is not None:
        one |= {"locationType": location_type, "location": location}
    return {"error": {"code": status, "message": message, "errors": [one]}}


def invalid(location: str, message: str, *, hint: str | None = None, example: Any = None, reason: str = "invalid") -> Invalid:
    """A value that does not fit."""
    domain = "calendar" if reason == "timeRangeEmpty" else "global"
    return Invalid(message, reason=reason, domain=domain, location=location, hint=hint, example=example)


def required(location: str, message: str, *, hint: str | None = None, example: Any = None) -> Invalid:
    """A mandatory part is absent."""
    return Invalid(message, reason="required", location=location, hint=hint, example=example)


def not_found(location: str, what: str, identifier: str, hint: str) -> NotFound:
    """What does not exist, for this caller."""
    shown = identifier if len(identifier) <= 80 else identifier[:77] + "..."
    return NotFound(f"Not Found: no {what} {shown!r}", reason="notFound", location=location, hint=hint)


def denied(reason: str, message: str, *, hint: str | None = None, location: str | None = None) -> Denied:
    """Something that this caller may not do."""
    return Denied(message, reason=reason, domain="calendar", location=location, hint=hint)


def deleted(location: str) -> Gone:
    """Deleting what is deleted."""
    return Gone(
        "Resource has been deleted", reason="deleted", location=location, hint="It was deleted before; nothing is left to do."
    )


def with_envelope(error: OpenEnvError) -> OpenEnvError:
    """Give an error of the framework's own validation Google's envelope too."""
    if isinstance(error, InvalidArguments) and "google" not in error.details:
        missing = bool(error.errors) and error.errors is not None and error.errors[0]["type"] == "missing"
        error.details["google"] = envelope(400, error.message, "required" if missing else "invalid", location=error.field)
    return error
