"""What drives a session: a loop whose model calls are the trainer's, or a runner that keeps its loop to itself."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from openenv.core.env_server.mcp_types import RESERVED_TOOL_NAMES, JsonRpcErrorCode, JsonRpcResponse, Tool
from openenv.core.harness._sessions import Message, ResourceSession, ToolResult

if TYPE_CHECKING:
    from openenv.core.llm_client import LLMResponse, ToolCall

__all__ = [
    "CLIHarnessAdapter",
    "HarnessAdapter",
    "HarnessRolloutResult",
    "HarnessRunLimits",
    "MCPHarnessAdapter",
    "ModelStep",
    "ModelStepResult",
    "RolloutEvent",
    "SessionMCPBridge",
    "ToolTraceEntry",
]

log = logging.getLogger("openenv.core.harness")


@dataclass
class ModelStepResult:
    """One answer of the model, with its tokens where the engine tells them."""

    response: LLMResponse
    prompt_ids: list[int] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class ModelStep(Protocol):
    """Samples the model's next answer."""

    def __call__(self, messages: list[Message], tools: list[Tool], sampling: dict[str, Any]) -> ModelStepResult:
        """The answer to these messages, with these tools to call."""
        ...


@dataclass
class RolloutEvent:
    """Something that happened in a rollout: ``model_response`` or ``tool_call``."""

    type: str
    payload: dict[str, Any] = field(default_factory=dict)


@dataclass
class ToolTraceEntry:
    """A tool call and what came of it."""

    tool_name: str
    arguments: dict[str, Any]
    result: ToolResult


@dataclass
class HarnessRunLimits:
    """How far a rollout may go.

    ``sampling`` goes to the model with each turn. Calls over ``max_tool_calls_per_turn`` are dropped from their turn;
    the first one over ``max_total_tool_calls`` ends the rollout with the metric ``truncated``.
    """

    max_turns: int = 10
    max_tool_calls_per_turn: int | None = None
    max_total_tool_calls: int | None = None
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass
class HarnessRolloutResult:
    """A whole rollout. The three token lists are those of its model calls, one after the other."""

    messages: list[Message] = field(default_factory=list)
    tool_trace: list[ToolTraceEntry] = field(default_factory=list)
    events: list[RolloutEvent] = field(default_factory=list)
    done: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    prompt_ids: list[int] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class HarnessAdapter(ABC):
    """Runs a rollout on a session."""

    @abstractmethod
    def run_white_box(
        self, model_step: ModelStep, session: ResourceSession, limits: HarnessRunLimits | None = None
    ) -> HarnessRolloutResult:
        """Run it with the caller's model."""

    @abstractmethod
    def run_black_box(self, session: ResourceSession, limits: HarnessRunLimits | None = None) -> HarnessRolloutResult:
        """Run it with a model that the harness has itself: for evaluation, not for training."""


class MCPHarnessAdapter(HarnessAdapter):
    """The plain loop: the model answers, its tool calls are made, their results go back to it, until it calls none."""

    def run_white_box(
        self, model_step: ModelStep, session: ResourceSession, limits: HarnessRunLimits | None = None
    ) -> HarnessRolloutResult:
        """Run until the model calls no tool, a tool says that it is done, or a limit is reached.

        What a tool or the model raises ends the rollout and is raised here.
        """
        limits = limits or HarnessRunLimits()
        result = HarnessRolloutResult(messages=list(session.initial_messages()))
        tools = session.list_tools()
        turn = -1
        for turn in range(limits.max_turns):
            answer = model_step(result.messages, tools, dict(limits.sampling))
            _record_answer(result, turn, answer)
            calls = answer.response.tool_calls
            ended = _make_calls(result, session, calls[: limits.max_tool_calls_per_turn], limits.max_total_tool_calls)
            if ended is None:
                result.metrics = {"truncated": True}
                return result
            if ended or not calls:
                result.done = True
                break
        result.metrics = {"turns": turn + 1, "tool_calls": len(result.tool_trace)}
        return result

    def run_black_box(self, session: ResourceSession, limits: HarnessRunLimits | None = None) -> HarnessRolloutResult:
        """Raise: this one has no model."""
        raise NotImplementedError(
            "MCPHarnessAdapter has no model of its own: call run_white_box(model_step, session), "
            "or use CLIHarnessAdapter for a harness that keeps its loop to itself."
        )


class CLIHarnessAdapter(HarnessAdapter):
    """A harness that keeps its loop to itself, such as a command.

    Args:
        runner: Gets the session's tools as a bridge, the session and the limits, which are its to keep, and returns the rollout.
    """

    def __init__(self, runner: Callable[[SessionMCPBridge, ResourceSession, HarnessRunLimits], HarnessRolloutResult]) -> None:
        self._runner = runner

    def run_white_box(
        self, model_step: ModelStep, session: ResourceSession, limits: HarnessRunLimits | None = None
    ) -> HarnessRolloutResult:
        """Raise: the runner's model is its own."""
        raise NotImplementedError(
            "CLIHarnessAdapter runs a harness with a model of its own: call run_black_box(session), "
            "or use MCPHarnessAdapter to give the model."
        )

    def run_black_box(self, session: ResourceSession, limits: HarnessRunLimits | None = None) -> HarnessRolloutResult:
        """Call the runner."""
        return self._runner(SessionMCPBridge(session), session, limits or HarnessRunLimits())


class SessionMCPBridge:
    """A session's tools as JSON-RPC, in this process: ``tools/list`` and ``tools/call``."""

    def __init__(self, session: ResourceSession) -> None:
        self._session = session

    def handle_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The response to a request. What a tool raises is an error in it: -32601 for a ``KeyError``, -32602 for a
        ``ValueError``, -32603 for the rest, which is logged too."""
        request_id = request.get("id") if isinstance(request, dict) else None
        if not isinstance(request, dict) or request.get("jsonrpc") != "2.0" or not _is_id(request_id):
            return _failed(JsonRpcErrorCode.INVALID_REQUEST, None, request_id if _is_id(request_id) else None)
        method = request.get("method")
        try:
            if method == "tools/list":
                return _answered({"tools": [_listed(one) for one in self._session.list_tools()]}, request_id)
            if method == "tools/call":
                return self._call(request.get("params"), request_id)
        except KeyError as error:
            return _failed(JsonRpcErrorCode.METHOD_NOT_FOUND, str(error.args[0]) if error.args else None, request_id)
        except ValueError as error:
            return _failed(JsonRpcErrorCode.INVALID_PARAMS, str(error), request_id)
        except Exception as error:  # a tool is anybody's code, and this is where its caller hears of it
            log.warning("%r failed on %s", method, type(self._session).__name__, exc_info=True)
            return _failed(JsonRpcErrorCode.INTERNAL_ERROR, str(error), request_id)
        return _failed(JsonRpcErrorCode.METHOD_NOT_FOUND, None, request_id)

    def _call(self, params: Any, request_id: Any) -> dict[str, Any]:
        if not isinstance(params, dict) or "name" not in params:
            raise ValueError("Missing tool name")
        name, arguments = params["name"], params.get("arguments")
        if not isinstance(name, str):
            raise ValueError(f"The tool's name must be a string, not {type(name).__name__}")
        if arguments is not None and not isinstance(arguments, dict):
            raise ValueError(f"The arguments of '{name}' must be an object, not {type(arguments).__name__}")
        if name in RESERVED_TOOL_NAMES:
            raise ValueError(f"Reserved orchestration tool: {name}")
        result = self._session.call_tool(name, dict(arguments or {}))
        told = {"data": result.data, "done": result.done, "metadata": result.metadata, "error": result.error}
        return _answered(told, request_id)


def _record_answer(result: HarnessRolloutResult, turn: int, answer: ModelStepResult) -> None:
    result.prompt_ids.extend(answer.prompt_ids)
    result.completion_ids.extend(answer.completion_ids)
    result.logprobs.extend(answer.logprobs)
    content, calls = answer.response.content, answer.response.tool_calls
    told = [{"id": call.id, "name": call.name, "arguments": dict(call.args)} for call in calls]
    result.events.append(RolloutEvent("model_response", {"turn": turn, "content": content, "tool_calls": told}))
    result.messages.append(answer.response.to_message_dict())


def _make_calls(result: HarnessRolloutResult, session: ResourceSession, calls: list[ToolCall], most: int | None) -> bool | None:
    """Whether a tool said that it is done; None if the next call is one too many for the rollout."""
    for call in calls:
        if most is not None and len(result.tool_trace) >= most:
            return None
        given = dict(call.args)
        answer = session.call_tool(call.name, dict(call.args))
        result.tool_trace.append(ToolTraceEntry(call.name, given, answer))
        result.messages.append({"role": "tool", "tool_call_id": call.id, "name": call.name, "content": _content_of(answer)})
        payload = {"tool_name": call.name, "arguments": dict(given), "done": answer.done}
        result.events.append(RolloutEvent("tool_call", payload))
        if answer.done:
            return True
    return False


def _content_of(answer: ToolResult) -> str:
    """What the model reads: text as it is, the rest as JSON with its keys in order; of a mere failure, its error."""
    if answer.data is None:
        return answer.error or ""
    return answer.data if isinstance(answer.data, str) else json.dumps(answer.data, sort_keys=True, default=str)


def _listed(one: Tool) -> dict[str, Any]:
    return {"name": one.name, "description": one.description, "inputSchema": one.input_schema}


def _is_id(value: Any) -> bool:
    return value is None or isinstance(value, (str, int))


def _answered(result: dict[str, Any], request_id: Any) -> dict[str, Any]:
    # Not the model's dump: a tool's data stays the objects that they are, in this process.
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _failed(code: JsonRpcErrorCode, message: str | None, request_id: Any) -> dict[str, Any]:
    return JsonRpcResponse.error_response(code, message or None, request_id=request_id).model_dump()
