"""OpenEnv 0.10's exceptions, as members of the project's own tree."""

from __future__ import annotations

from openenv.errors import CapacityReached, ConfigurationError, FactoryFailed, OpenEnvError, SessionError

__all__ = [
    "ConcurrencyConfigurationError",
    "EnvironmentFactoryError",
    "OpenEnvError",
    "SessionCapacityError",
    "SessionCreationError",
    "SessionNotFoundError",
]


class ConcurrencyConfigurationError(ConfigurationError):
    """More than one session at once was asked for, of a class that does not say it can have them."""

    def __init__(self, environment_name: str, max_concurrent_envs: int, message: str | None = None) -> None:
        self.environment_name = environment_name
        self.max_concurrent_envs = max_concurrent_envs
        super().__init__(
            message
            or f"{environment_name} does not say that it can have {max_concurrent_envs} sessions at once: "
            "set SUPPORTS_CONCURRENT_SESSIONS = True on the class, or max_concurrent_envs=1"
        )


class SessionCapacityError(CapacityReached):
    """The server takes no more sessions."""

    def __init__(self, active_sessions: int, max_sessions: int, message: str | None = None) -> None:
        self.active_sessions = active_sessions
        self.max_sessions = max_sessions
        super().__init__(
            message or f"Server at capacity: {active_sessions}/{max_sessions} sessions active. Cannot accept new connections.",
            details={"active_sessions": active_sessions, "max_sessions": max_sessions},
        )


class SessionNotFoundError(SessionError):
    """There is no such session."""

    def __init__(self, session_id: str, message: str | None = None) -> None:
        self.session_id = session_id
        super().__init__(message or f"Unknown session_id: {session_id}")


class SessionCreationError(SessionError):
    """A session could not be made."""

    def __init__(self, reason: str, message: str | None = None) -> None:
        self.reason = reason
        super().__init__(message or f"The session could not be made: {reason}")


class EnvironmentFactoryError(FactoryFailed):
    """The factory raised."""

    def __init__(self, factory_name: str, message: str | None = None) -> None:
        self.factory_name = factory_name
        super().__init__(
            message or f"Environment factory '{factory_name}' failed to create instance.",
            details={"factory_name": factory_name},
        )
