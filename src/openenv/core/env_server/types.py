"""OpenEnv 0.10's data models under their own names; what the project has itself is the project's."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from openenv.protocol.bodies import ResetRequest, SplitRequest, StepRequest, TaskRangeRequest, TaskRequest
from openenv.types import Action, EnvironmentMetadata, State, WireObservation

__all__ = [
    "Action",
    "BaseMessage",
    "CodeExecResult",
    "ConcurrencyConfig",
    "EnvironmentMetadata",
    "GetTaskRangeRequest",
    "GetTaskRequest",
    "HealthResponse",
    "HealthStatus",
    "ListTasksRequest",
    "NumTasksRequest",
    "Observation",
    "ResetRequest",
    "ResetResponse",
    "Scalar",
    "SchemaResponse",
    "ServerCapacityStatus",
    "ServerMode",
    "SessionInfo",
    "State",
    "StepRequest",
    "StepResponse",
    "WSCloseMessage",
    "WSErrorCode",
    "WSErrorResponse",
    "WSIncomingMessage",
    "WSObservationResponse",
    "WSResetMessage",
    "WSStateMessage",
    "WSStateResponse",
    "WSStepMessage",
]

Scalar = int | float | bool
"""A single number or truth value."""


class Observation(WireObservation):
    """What an environment answers: ``done``, ``reward``, ``metadata``, and the fields that a subclass declares."""


class BaseMessage(BaseModel):
    """A message that refuses fields it does not declare."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class CodeExecResult(BaseMessage):
    """What came of running a piece of code."""

    stdout: str
    stderr: str
    exit_code: int


class ServerMode(StrEnum):
    """Whether HTTP has ``/reset``, ``/step`` and ``/state``."""

    SIMULATION = "simulation"
    PRODUCTION = "production"


class HealthStatus(StrEnum):
    """How a server feels."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DEGRADED = "degraded"


class WSErrorCode(StrEnum):
    """The codes in 0.10's error frames; this server knows more."""

    INVALID_JSON = "INVALID_JSON"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    CAPACITY_REACHED = "CAPACITY_REACHED"
    FACTORY_ERROR = "FACTORY_ERROR"
    SESSION_ERROR = "SESSION_ERROR"


class ResetResponse(BaseModel):
    """What ``POST /reset`` answers."""

    model_config = ConfigDict(extra="forbid")

    observation: dict[str, Any]
    reward: float | None = None
    done: bool = False
    metadata: dict[str, Any] | None = None


class StepResponse(BaseModel):
    """What ``POST /step`` answers."""

    model_config = ConfigDict(extra="forbid")

    observation: dict[str, Any]
    reward: float | None = None
    done: bool = False
    metadata: dict[str, Any] | None = None


class SchemaResponse(BaseMessage):
    """What ``GET /schema`` answers: JSON Schemas."""

    action: dict[str, Any]
    observation: dict[str, Any]
    state: dict[str, Any]
    reset_observation: dict[str, Any] | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = handler(self)
        return {name: schema for name, schema in shown.items() if schema is not None}


class HealthResponse(BaseMessage):
    """What ``GET /health`` answers."""

    status: HealthStatus = HealthStatus.HEALTHY


class ListTasksRequest(SplitRequest, BaseMessage):
    """The body of ``POST /{env_name}/tasks``."""


class NumTasksRequest(SplitRequest, BaseMessage):
    """The body of ``POST /{env_name}/num_tasks``."""


class GetTaskRequest(TaskRequest, BaseMessage):
    """The body of ``POST /{env_name}/task``."""


class GetTaskRangeRequest(TaskRangeRequest, BaseMessage):
    """The body of ``POST /{env_name}/task_range``."""


class ConcurrencyConfig(BaseMessage):
    """How many sessions a server takes, and for how many seconds an idle one without a socket lives (None: 15 minutes)."""

    max_concurrent_envs: int = Field(default=1, ge=1)
    session_timeout: float | None = Field(default=None, gt=0)


class ServerCapacityStatus(BaseMessage):
    """How many sessions there are, and how many there may be."""

    active_sessions: int = Field(ge=0)
    max_sessions: int = Field(ge=1)

    @property
    def available_slots(self) -> int:
        """Sessions that may still be opened."""
        return self.max_sessions - self.active_sessions

    @property
    def is_at_capacity(self) -> bool:
        """Whether the next one is refused."""
        return self.available_slots <= 0

    @classmethod
    def from_counts(cls, active: int, max_sessions: int) -> ServerCapacityStatus:
        """The status of these two counts."""
        return cls(active_sessions=active, max_sessions=max_sessions)


class SessionInfo(BaseMessage):
    """A session, as the process that serves it knows it; times in seconds since 1970."""

    session_id: str
    created_at: float
    last_activity_at: float
    step_count: int = Field(default=0, ge=0)
    environment_type: str


class WSResetMessage(BaseMessage):
    """Begins an episode."""

    type: Literal["reset"] = "reset"
    data: dict[str, Any] = Field(default_factory=dict)


class WSStepMessage(BaseMessage):
    """Does one action: ``data`` is the action."""

    type: Literal["step"] = "step"
    data: dict[str, Any]


class WSStateMessage(BaseMessage):
    """Asks for the state."""

    type: Literal["state"] = "state"


class WSCloseMessage(BaseMessage):
    """Ends the session."""

    type: Literal["close"] = "close"


WSIncomingMessage = Annotated[WSResetMessage | WSStepMessage | WSStateMessage | WSCloseMessage, Field(discriminator="type")]
"""Any message of a client."""


class WSObservationResponse(BaseModel):
    """The answer to a reset or a step."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["observation"] = "observation"
    data: dict[str, Any]


class WSStateResponse(BaseModel):
    """The answer to a question for the state."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["state"] = "state"
    data: dict[str, Any]


class WSErrorResponse(BaseModel):
    """A refusal."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["error"] = "error"
    data: dict[str, Any]
