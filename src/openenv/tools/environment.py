"""An environment made of tools."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic_core import to_jsonable_python

from openenv.environment import Context, Environment
from openenv.errors import ExecutionFailed, InvalidArguments, OpenEnvError, ToolFailed, ToolNotFound, ValidationFailed
from openenv.tools.registry import ToolOutcome, ToolRegistry
from openenv.types import (
    Action,
    ActionT,
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Observation,
    ObservationT,
    StateT,
    Tool,
    ToolError,
    ToolListing,
    ToolResult,
)


@runtime_checkable
class ToolProvider(Protocol):
    """What the runtime asks of any environment with tools, `ToolEnvironment` or not, synchronous or not."""

    def tool_listings(self) -> Sequence[ToolListing] | Awaitable[Sequence[ToolListing]]:
        """The tools that there are now."""
        ...

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The action that calls this tool, in the environment's own type."""
        ...

    def outcome_of(self, action: Any, observation: Any) -> ToolOutcome | None:
        """What came of a tool call, read from its action and observation; ``None`` when it was none."""
        ...

    def arguments_of(self, action: Any) -> Mapping[str, Any]:
        """The arguments of an action that calls a tool."""
        ...


class ToolEnvironment(Environment[ActionT, ObservationT, StateT]):
    """An environment whose actions are tool calls; write methods marked with `tool` and a ``reset``.

    ``step`` understands `ListToolsAction` and `CallToolAction`. An environment with an action of its own overrides
    ``step``, `tool_action` and `outcome_of`; the other transports (JSON-RPC, MCP) go through these too, so that a tool
    call is a step wherever it comes from.
    """

    tools: ClassVar[ToolRegistry] = ToolRegistry(())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tools = ToolRegistry.of(cls)

    def step(self, action: ActionT, context: Context) -> ObservationT:
        """List the tools, or call one."""
        if isinstance(action, ListToolsAction):
            seen: Observation = ListToolsObservation(tools=[as_tool(listing) for listing in self.tool_listings()])
            return seen  # type: ignore[return-value]
        if isinstance(action, CallToolAction):
            outcome = self.call_tool(action.tool_name, action.arguments, context)
            return self.observe(outcome)
        raise ValidationFailed(f"{type(action).__name__} is not a tool action", hint="Send list_tools or call_tool.")

    def tool_listings(self) -> Sequence[ToolListing]:
        """The tools that there are now: the class's. Override it where they come and go, and call `tools_changed` then."""
        return [found.listing() for found in self.tools]

    def call_tool(self, name: str, arguments: Mapping[str, Any], context: Context) -> ToolOutcome:
        """Call a tool by name with validated arguments. Tools call each other with this or as plain methods."""
        return self.tools.call(self, name, arguments, context)

    def observe(self, outcome: ToolOutcome) -> ObservationT:
        """The observation that tells what came of a tool call."""
        error = None if outcome.error is None else tool_error(outcome.error)
        value = None if outcome.error is not None else outcome.value
        if not isinstance(value, ToolResult):
            value = to_jsonable_python(value)
        seen: Observation = CallToolObservation(tool_name=outcome.name, result=value, error=error)
        if error is not None:
            seen.metadata = {"error": error.details}
        return seen  # type: ignore[return-value]

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> Action:
        """The action that calls this tool, in the environment's own type."""
        return CallToolAction(tool_name=name, arguments=dict(arguments))

    def outcome_of(self, action: Action, observation: Observation) -> ToolOutcome | None:
        """What came of a tool call, read from its action and observation; ``None`` when it was none."""
        if not isinstance(action, CallToolAction) or not isinstance(observation, CallToolObservation):
            return None
        return outcome_from(self.tools, action.tool_name, observation.result, observation.error)

    def arguments_of(self, action: Action) -> Mapping[str, Any]:
        """The arguments of an action that calls a tool."""
        return getattr(action, "arguments", None) or {}


def as_tool(listing: ToolListing) -> Tool:
    """A listed tool as an observation carries it."""
    return Tool(name=listing.name, description=listing.description, input_schema=listing.input_schema)


TOOL_TIMEOUT = "TOOL_TIMEOUT"
"""The code of a tool that did not answer in time."""


def tool_error(error: OpenEnvError) -> ToolError:
    """The error as OpenEnv's clients know it (``error_type``, ``message``), and our own body in ``details``."""
    kind: Literal["execution_error", "tool_not_found", "invalid_args", "timeout"] = "execution_error"
    if isinstance(error, ToolNotFound):
        kind = "tool_not_found"
    elif isinstance(error, InvalidArguments):
        kind = "invalid_args"
    elif error.code == TOOL_TIMEOUT:
        kind = "timeout"
    return ToolError(error_type=kind, message=error.message, details=to_jsonable_python(error.body()))


def outcome_from(tools: ToolRegistry, name: str, value: Any, error: ToolError | None) -> ToolOutcome:
    """Rebuild an outcome from what an observation carries."""
    found = tools.find(name)
    failed = None if error is None else error_from(error)
    return ToolOutcome(name, value=value, error=failed, read_only=found.read_only if found else False)


def error_from(error: ToolError) -> OpenEnvError:
    """The exception again that `tool_error` has written down."""
    known = dict(error.details)
    known.pop("message", None)
    code = known.pop("code", None)
    failed: OpenEnvError = ToolFailed(error.message, code=code) if code else ExecutionFailed(error.message)
    failed.field, failed.hint, failed.example = known.pop("field", None), known.pop("hint", None), known.pop("example", None)
    failed.errors = known.pop("errors", None)
    failed.details = known
    return failed
