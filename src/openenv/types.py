"""What passes between an agent and an environment: actions, observations, states.

The models are the ones that OpenEnv's clients know, with the same fields and the same strictness: an action or an
observation refuses fields that it does not declare, a state may carry more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import SchemaValidator, core_schema, to_jsonable_python

__all__ = [
    "Action",
    "ActionT",
    "Binary",
    "CallToolAction",
    "CallToolObservation",
    "EnvironmentMetadata",
    "ListToolsAction",
    "ListToolsObservation",
    "Observation",
    "ObservationT",
    "Reward",
    "State",
    "StateT",
    "StepResult",
    "Tool",
    "ToolAction",
    "ToolError",
    "ToolListing",
    "ToolResult",
    "WireObservation",
    "is_choice",
    "tool_actions",
]

Reward = bool | int | float | None
"""A step's reward as an environment gives it; ``None`` where it gives none."""


_BASE64: Final = SchemaValidator(core_schema.bytes_schema(), {"val_json_bytes": "base64"})


def _from_base64(value: Any) -> Any:
    """The bytes in a text; whatever else it is, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return _BASE64.validate_strings(value)  # type: ignore[arg-type]  # it takes texts, too
    except ValidationError as error:
        raise ValueError(f"not base64: {error.errors()[0]['msg']}") from None


def _in_base64(value: bytes) -> Any:
    return to_jsonable_python(value, bytes_mode="base64")


Binary = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_in_base64, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64url"}),
]
"""Bytes that may be anything, such as a picture: a field of this type travels in every encoding.

In JSON it is a text in base64 (RFC 4648, section 5: the URL-safe alphabet, with padding; section 4's is read too), in
MessagePack it is the bytes themselves. ``Annotated[Binary, Field(max_length=…)]`` limits how many.
"""


class Action(BaseModel):
    """What an agent does in one step. Subclass it and declare your fields; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, arbitrary_types_allowed=True)

    metadata: dict[str, Any] = Field(default_factory=dict, description="Free notes; no environment's rules read them")


class WireObservation(BaseModel):
    """An observation as OpenEnv 0.10 knows it. ``reward`` and ``done`` travel beside the observation, not inside it."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, arbitrary_types_allowed=True)

    done: bool = Field(default=False, description="Whether the episode has ended")
    reward: Reward = Field(default=None, description="The reward of the step that led here")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Additional information about the step")


class Observation(WireObservation):
    """What an environment answers.

    ``terminated`` (the task itself ended), ``truncated`` (a limit ended it) and ``stop_reason`` are Gymnasium's
    distinction. They are native: OpenEnv's dialect and ``/schema`` never show them, but either of the two flags
    makes the step ``done``.
    """

    terminated: SkipJsonSchema[bool] = Field(default=False, exclude=True)
    truncated: SkipJsonSchema[bool] = Field(default=False, exclude=True)
    stop_reason: SkipJsonSchema[str | None] = Field(default=None, exclude=True)


class State(BaseModel):
    """Where an episode stands. Extra fields are allowed: an environment may tell more than this."""

    model_config = ConfigDict(extra="allow", validate_assignment=True, arbitrary_types_allowed=True)

    episode_id: str | None = Field(default=None, description="The current episode's identifier")
    step_count: Annotated[int, Field(ge=0)] = Field(default=0, description="Steps taken since the last reset")


class EnvironmentMetadata(BaseModel):
    """What ``GET /metadata`` says of an environment."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="The environment's name")
    description: str = Field(description="What it is")
    readme_content: str | None = None
    version: str | None = None
    author: str | None = None
    documentation_url: str | None = None


class Tool(BaseModel):
    """A tool as an agent sees it: its name, what it does, and the JSON Schema of its arguments."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolListing:
    """A tool with what a client may want to know before it calls it."""

    name: str
    description: str
    input_schema: dict[str, Any]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    title: str | None = None
    output_schema: dict[str, Any] | None = None
    """The JSON Schema of what the tool returns, as an object; standard MCP carries the result as structured content then."""
    annotations: Mapping[str, Any] | None = None
    """MCP's annotations, where they were given in full; else they follow from the three hints."""
    icons: list[dict[str, Any]] | None = None
    meta: dict[str, Any] | None = None


@dataclass(slots=True)
class ToolResult:
    """A tool's answer in MCP's terms, for tools that return more than a value: images, sound, resources.

    ``content`` are MCP's content blocks as JSON objects, such as ``{"type": "image", "data": base64, "mimeType": …}``.
    """

    content: list[dict[str, Any]]
    structured_content: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    data: Any = None
    """The value that a program wants; OpenEnv's clients read this."""
    is_error: bool = False


class ToolError(BaseModel):
    """Why a tool call failed; ``error_type`` is one of OpenEnv's five kinds.

    OpenEnv's clients refuse further keys here, so what else is known travels in the observation's ``metadata["error"]``:
    the stable code, the field, a hint, an example.
    """

    model_config = ConfigDict(extra="forbid")

    error_type: Literal["execution_error", "invalid_args", "transport_error", "tool_not_found", "timeout"]
    message: str
    details: SkipJsonSchema[dict[str, Any]] = Field(default_factory=dict, exclude=True)


class ListToolsAction(Action):
    """Asks which tools there are."""

    type: Literal["list_tools"] = "list_tools"


class CallToolAction(Action):
    """Calls a tool."""

    type: Literal["call_tool"] = "call_tool"
    tool_name: str = Field(description="The tool's name")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its arguments by name")


_TOOL_ACTIONS: Final = frozenset({"list_tools", "call_tool"})


def _chosen(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) and kind in _TOOL_ACTIONS else "action"


def tool_actions(other: type[Action]) -> Any:
    """The type "a tool action, or ``other``": ``type`` decides, as in OpenEnv 0.10.

    pydantic puts the chosen branch first into an error's ``loc``; `is_choice` tells of such a type.
    """
    return Annotated[
        Annotated[ListToolsAction, Tag("list_tools")]
        | Annotated[CallToolAction, Tag("call_tool")]
        | Annotated[other, Tag("action")],
        Discriminator(_chosen),
    ]


def is_choice(action_type: Any) -> bool:
    """Whether the type is one of `tool_actions`."""
    return any(isinstance(one, Discriminator) for one in getattr(action_type, "__metadata__", ()))


ToolAction = tool_actions(CallToolAction)
"""What a plain tool environment takes, as OpenEnv's MCP environments do."""


class ListToolsObservation(Observation):
    """The tools that there are."""

    tools: list[Tool]


class CallToolObservation(Observation):
    """What a tool answered: ``result``, or ``error`` where it could not."""

    tool_name: str
    result: Any = None
    error: ToolError | None = None


ActionT = TypeVar("ActionT", bound=Action)
ObservationT = TypeVar("ObservationT", bound=WireObservation)
StateT = TypeVar("StateT", bound=State)
ResultT = TypeVar("ResultT")


@dataclass  # without slots, as OpenEnv 0.10's: its users read vars(result) and add attributes of their own
class StepResult(Generic[ResultT]):
    """What a client's ``reset`` and ``step`` return: the observation and, beside it, its reward and ``done``."""

    observation: ResultT
    reward: Reward = None
    done: bool = False
    metadata: dict[str, Any] | None = None
    # No fields, so that a result has 0.10's and no more: these are set where the dialect tells (protocol v2).
    terminated = None  # type: bool | None
    """The task itself ended. ``None``: the dialect does not say (OpenEnv's)."""
    truncated = None  # type: bool | None
    """A limit ended it."""
    stop_reason = None  # type: str | None
    """Why it ended, in the environment's words."""
    episode_id = None  # type: str | None
    """Of a reset: the episode that begins."""
