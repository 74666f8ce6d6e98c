"""What a worker answers: a result as JSON and bytes, written in the worker and read, with care, in the server."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

import openenv.errors as known_errors
from openenv.encoded import EncodedState, encoded_observation, value_of
from openenv.errors import CapacityReached, ExecutionFailed, OpenEnvError, RateLimited
from openenv.operation import Notice, Operation, Result
from openenv.protocol.json import body_of, dump, dump_error
from openenv.runtime.executors.frames import ANSWER_LIMIT
from openenv.types import Observation, Reward, ToolListing, ToolResult, WireObservation

__all__ = ["Answer", "read_answer", "read_notice", "write_answer", "write_notice"]

_LENGTH: Final = struct.Struct("<I")
_LISTINGS: Final = TypeAdapter(list[ToolListing])
_TOOL_RESULT: Final = TypeAdapter(ToolResult)
_NOTICE: Final = TypeAdapter(Notice)
_CAUSES: Final[Mapping[str, type[Exception]]] = {"IndexError": IndexError}
"""What may have caused an error, where somebody in the server asks."""
_natives: Final[dict[type, bool]] = {}
"""Whether each type of observation knows ``terminated``: asking a model's class costs as much as a step."""


class _Fault(BaseModel):
    """An error on its way."""

    name: str
    """Of its nearest class in `openenv.errors`."""
    status: int
    body: dict[str, Any]
    retry_after_s: float | None = None
    cause: str | None = None


class _Seen(BaseModel):
    """What an observation has beside what is encoded of it."""

    done: bool
    reward: Reward
    native: tuple[bool, bool, str | None] | None = None


class Answer(BaseModel):
    """The head of an answer; the parts that are named in ``sizes`` follow it."""

    model_config = ConfigDict(extra="forbid")

    seconds: float
    seq: int
    steps: int
    episode: str | None = None
    scenario: str | None = None
    done: bool = False
    reward: Reward = None
    seen: _Seen | None = None
    error: _Fault | None = None
    tool: str | None = None
    tool_error: _Fault | None = None
    kind: str = ""
    """Of the value: JSON, bytes, the listings of tools, or what a tool returned in MCP's terms."""
    sizes: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """Of the observation, its metadata, the state by its names and by its aliases, and the value; 0 is absent."""


def write_answer(result: Result, operation: Operation, *, seq: int, steps: int, scenario: str | None) -> bytes:
    """The bytes of a result. An answer that JSON cannot say, or that is too long, becomes an error."""
    try:
        payload = _written(result, operation, seq, steps, scenario)
        if len(payload) <= ANSWER_LIMIT:
            return payload
        failed = ExecutionFailed(
            f"the environment's answer has {len(payload)} bytes, and {ANSWER_LIMIT} are the most that a worker process may send",
            hint="Answer with less.",
        )
    except ExecutionFailed as error:
        failed = error
    short = Result(error=failed, episode=result.episode, seconds=result.seconds)
    return _written(short, operation, seq, steps, scenario)


def _written(result: Result, operation: Operation, seq: int, steps: int, scenario: str | None) -> bytes:
    head: dict[str, Any] = {"seconds": result.seconds, "seq": seq, "steps": steps}
    known = {
        "episode": result.episode,
        "scenario": scenario,
        "done": result.done or None,
        "reward": result.reward,
        "tool": result.tool,
        "error": result.error and _fault(result.error),
        "tool_error": result.tool_error and _fault(result.tool_error),
    }
    head.update((name, value) for name, value in known.items() if value is not None)
    parts = _parts(result, operation.op, head)
    if any(parts):
        head["sizes"] = [len(part) for part in parts]
    try:
        first = to_json(head, inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        raise _unspeakable(error) from None
    return b"".join((_LENGTH.pack(len(first)), first, *parts))


def _parts(result: Result, op: str, head: dict[str, Any]) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """The observation, its metadata, the state by its names and by its aliases, and the value."""
    body = metadata = by_name = by_alias = value = b""
    if result.observation is not None:
        try:
            body, metadata = _observation(result.observation, head)
        except ExecutionFailed:
            if op != "call_tool":  # there the tool's own value is the answer
                raise
    if result.state is not None:
        by_name, by_alias = _both(result.state)
    if result.value is not None:
        if op == "state":
            head["kind"] = "state"
            by_name, by_alias = _both(result.value)
        else:
            head["kind"], value = _value(result.value, op)
    return body, metadata, by_name, by_alias, value


def _observation(observation: WireObservation, head: dict[str, Any]) -> tuple[bytes, bytes]:
    kind = type(observation)
    native = _natives.get(kind)
    if native is None:
        native = _natives[kind] = issubclass(kind, Observation)
    body = body_of(observation)
    seen: dict[str, Any] = {"done": observation.done, "reward": observation.reward}
    if native:
        flags: Any = observation
        seen["native"] = (flags.terminated, flags.truncated, flags.stop_reason)
    head["seen"] = seen
    metadata = observation.metadata
    return body, dump(metadata, by_alias=False) if metadata else b""


def _both(state: Any) -> tuple[bytes, bytes]:
    """By its names and, where that is something else, by its aliases."""
    by_name, by_alias = dump(state, by_alias=False), dump(state)
    if not by_name.startswith(b"{") or not by_alias.startswith(b"{"):
        raise ExecutionFailed("the environment's state is no object", hint="Return a State.")
    return by_name, b"" if by_name == by_alias else by_alias


def _value(value: Any, op: str) -> tuple[str, bytes]:
    if type(value) is bytes:
        return "bytes", value
    if op == "list_tools":
        return "tools", dump(list(value))
    if isinstance(value, ToolResult):
        return "tool", dump(value)
    try:
        return "json", to_json(value, by_alias=op != "ask", inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        if op == "step":  # nobody is shown it: the observation has said it already
            return "", b""
        raise _unspeakable(error) from None


def _unspeakable(error: Exception) -> ExecutionFailed:
    return ExecutionFailed(f"the environment's answer cannot be written as JSON: {error}")


def _fault(error: OpenEnvError) -> dict[str, Any]:
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == known_errors.__name__)
    cause = type(error.__cause__).__name__ if error.__cause__ is not None else None
    return {
        "name": name,
        "status": error.http_status,
        "body": value_of(dump_error(error.body())),
        "retry_after_s": getattr(error, "retry_after_s", None),
        "cause": cause,
    }


def read_answer(payload: bytes) -> tuple[Result, Answer]:
    """The result in these bytes. Raises ``ValueError`` or ``RecursionError`` for bytes that hold none."""
    (length,) = _LENGTH.unpack_from(payload)
    at = _LENGTH.size + length
    head = _head(payload[_LENGTH.size : at])
    parts: list[bytes] = []
    for size in head.sizes:
        if size < 0:
            raise ValueError("a part of a negative size")
        parts.append(payload[at : at + size])
        at += size
    if at != len(payload):
        raise ValueError(f"the parts of an answer end at {at} of {len(payload)} bytes")
    body, metadata, by_name, by_alias, value = parts
    result = Result(reward=head.reward, done=head.done, tool=head.tool, episode=head.episode, seconds=head.seconds)
    if head.seen is not None:
        seen = head.seen
        result.observation = encoded_observation(
            body,
            done=seen.done,
            reward=seen.reward,
            metadata=value_of(metadata) if metadata else None,
            native=seen.native,
        )
    if by_name:
        state = EncodedState.of(by_name, by_alias or None)
        if head.kind == "state":
            result.value = state
        else:
            result.state = state
    if value or head.kind:
        result.value = _read_value(head.kind, value, result.value)
    if head.error is not None:
        result.error = _error(head.error)
    if head.tool_error is not None:
        result.tool_error = _error(head.tool_error)
    return result, head


def _head(encoded: bytes) -> Answer:
    try:
        return Answer.model_validate_json(encoded)
    except ValidationError:
        return Answer.model_validate(value_of(encoded))  # an error's body may be nested deeper than pydantic reads


def _read_value(kind: str, value: bytes, state: Any) -> Any:
    if kind == "state":
        return state
    if kind == "json":
        return value_of(value)
    if kind == "bytes":
        return value
    if kind == "tools":
        return _LISTINGS.validate_json(value)
    if kind == "tool":
        return _TOOL_RESULT.validate_json(value)
    raise ValueError(f"a value of kind {kind!r}")


def _error(fault: _Fault) -> OpenEnvError:
    """The error again: its nearest class here, and all that it says."""
    kind = getattr(known_errors, fault.name, None)
    if not isinstance(kind, type) or not issubclass(kind, OpenEnvError) or not 400 <= fault.status <= 599:
        raise ValueError(f"an error of class {fault.name!r} and status {fault.status}")
    body = dict(fault.body)
    message, code, errors = body.pop("message", ""), body.pop("code", kind.code), body.pop("errors", None)
    if not isinstance(message, str) or not isinstance(code, str):
        raise ValueError("an error without a text")
    error = kind.__new__(kind)
    told = {name: body.pop(name) for name in ("field", "hint", "example") if body.get(name) is not None}
    OpenEnvError.__init__(error, message, errors=errors, details=body, **told)
    error.code = code
    if error.http_status != fault.status:
        error.http_status = fault.status  # type: ignore[misc]  # a class of the environment's own has another
    if isinstance(error, (CapacityReached, RateLimited)):
        error.retry_after_s = fault.retry_after_s or 1.0
    cause = _CAUSES.get(fault.cause or "")
    if cause is not None:
        error.__cause__ = cause(message)
    return error


def write_notice(notice: Notice) -> bytes:
    """The bytes of a notice; a message that JSON cannot say goes as its text."""
    try:
        message = dump(notice.message)
    except ExecutionFailed:
        message = dump(repr(notice.message))
    known = {"kind": notice.kind, "progress": notice.progress, "total": notice.total, "level": notice.level}
    return b'{"message":%b,%b' % (message, to_json(known, inf_nan_mode="constants")[1:])


def read_notice(payload: bytes) -> Notice:
    """The notice in these bytes. Raises ``ValueError`` for bytes that hold none."""
    return _NOTICE.validate_json(payload)
