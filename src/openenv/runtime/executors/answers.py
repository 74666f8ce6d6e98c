"""What a worker answers: a result as JSON and bytes, written in the worker and read, with care, in the server."""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

import openenv.errors as known_errors
from openenv.encoded import EncodedState, encoded_observation, value_of
from openenv.errors import CapacityReached, ExecutionFailed, InvalidFrame, OpenEnvError, RateLimited
from openenv.operation import Notice, Result
from openenv.protocol import messagepack
from openenv.protocol.json import body_of, dump, dump_error
from openenv.runtime.executors.frames import ANSWER_LIMIT
from openenv.types import Observation, Reward, ToolListing, ToolResult, WireObservation

__all__ = ["Answer", "AnswerReader", "AnswerWriter", "read_notice", "write_notice"]

log = logging.getLogger("openenv.runtime")

_LIFTED: Final = {"reward", "done"}
_PANIC: Final = "PanicException"
"""What pydantic's core raises where it finds no memory; the class has no module to import it from."""
_HEAD: Final = struct.Struct("<dIIBBdd8I")
"""Seconds, sequence, steps, flags, reward kinds, the result's reward, the observation's, and eight sizes: of the rest, the
observation, its metadata, the state by its names and by its aliases, the value, and, in MessagePack, of an observation and a
state with bytes in them; 0 is absent.
"""
_DONE, _SEEN, _SEEN_DONE, _NATIVE, _TERMINATED, _TRUNCATED = 1, 2, 4, 8, 16, 32
_FLOAT, _OTHER, _SEEN_FLOAT, _SEEN_OTHER = 1, 2, 4, 8
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
    retry_after_s: Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)] | None = None
    cause: str | None = None


class _Rest(BaseModel):
    """What most answers have not."""

    model_config = ConfigDict(extra="forbid")

    place: tuple[str | None, str | None] | None = None
    """The episode and the scenario's id, where they are not those of the answer before."""
    reward: Reward = None
    seen_reward: Reward = None
    """Rewards that are no floats."""
    stop_reason: str | None = None
    error: _Fault | None = None
    tool: str | None = None
    tool_error: _Fault | None = None
    kind: str = ""
    """Of the value: a state, JSON, bytes, the listings of tools, or what a tool returned in MCP's terms."""


_NOTHING: Final = _Rest()


class AnswerWriter:
    """Writes the results of one world, in the worker."""

    def __init__(self) -> None:
        self._place: tuple[str | None, str | None] = (None, None)

    def write(self, result: Result, op: str, *, seq: int, steps: int, scenario: str | None) -> bytes:
        """The bytes of a result. An answer that JSON cannot say, that is too long or finds no memory, becomes an error."""
        place = (result.episode, scenario)
        try:
            payload = self._bounded(result, op, seq, steps, place)
        except ExecutionFailed as failed:
            short = Result(error=failed, episode=result.episode, seconds=result.seconds)
            payload = self._written(short, op, seq, steps, place)
        self._place = place
        return payload

    def _bounded(self, result: Result, op: str, seq: int, steps: int, place: tuple[str | None, str | None]) -> bytes:
        try:
            payload = self._written(result, op, seq, steps, place)
        except BaseException as error:
            if not isinstance(error, MemoryError) and type(error).__name__ != _PANIC:
                raise
            raise ExecutionFailed(
                "there is no memory for the environment's answer in its worker process",
                hint="Answer with less, or raise process_memory_mb.",
            ) from None
        if len(payload) > ANSWER_LIMIT:
            raise ExecutionFailed(
                f"the environment's answer has {len(payload)} bytes; a worker process may send {ANSWER_LIMIT}",
                hint="Answer with less.",
            )
        return payload

    def _written(self, result: Result, op: str, seq: int, steps: int, place: tuple[str | None, str | None]) -> bytes:
        rest: dict[str, Any] = {}
        if place != self._place:
            rest["place"] = place
        flags = _DONE if result.done else 0
        body = metadata = by_name = by_alias = value = raw = raw_state = b""
        seen_reward: Reward = None
        if result.observation is not None:
            try:
                body, metadata, more, seen_reward = _observation(result.observation, rest)
                flags |= more
                raw = _raw(result.observation, _LIFTED)
            except ExecutionFailed:
                if op != "call_tool":  # there the tool's own value is the answer
                    raise
        if result.state is not None:
            by_name, by_alias = _both(result.state)
            raw_state = _raw(result.state)
        if result.value is not None:
            rest["kind"], by_name, by_alias, value = _value(result.value, op, by_name, by_alias)
            raw_state = _raw(result.value) if op == "state" else raw_state
        kinds, reward = _reward(result.reward, _FLOAT, _OTHER, "reward", rest)
        more, seen = _reward(seen_reward, _SEEN_FLOAT, _SEEN_OTHER, "seen_reward", rest)
        if result.error is not None:
            rest["error"] = _fault(result.error)
        if result.tool is not None:
            rest["tool"] = result.tool
        if result.tool_error is not None:
            rest["tool_error"] = _fault(result.tool_error)
        try:
            first = to_json(rest, inf_nan_mode="constants") if rest else b""
        except (ValueError, RecursionError) as error:
            raise _unspeakable(error) from None
        parts = (first, body, metadata, by_name, by_alias, value, raw, raw_state)
        head = _HEAD.pack(result.seconds, seq, steps, flags, kinds | more, reward, seen, *map(len, parts))
        return b"".join((head, *parts))


def _reward(reward: Reward, float_kind: int, other_kind: int, name: str, rest: dict[str, Any]) -> tuple[int, float]:
    if reward is None:
        return 0, 0.0
    if type(reward) is float:
        return float_kind, reward
    rest[name] = reward
    return other_kind, 0.0


def _observation(observation: WireObservation, rest: dict[str, Any]) -> tuple[bytes, bytes, int, Reward]:
    """The observation, its metadata, its flags and its reward."""
    kind = type(observation)
    native = _natives.get(kind)
    if native is None:
        native = _natives[kind] = issubclass(kind, Observation)
    body = body_of(observation)
    flags = _SEEN | _SEEN_DONE if observation.done else _SEEN
    if native:
        known: Any = observation
        flags |= _NATIVE | (_TERMINATED if known.terminated else 0) | (_TRUNCATED if known.truncated else 0)
        if known.stop_reason is not None:
            rest["stop_reason"] = known.stop_reason
    metadata = observation.metadata
    return body, dump(metadata, by_alias=False) if metadata else b"", flags, observation.reward


def _both(state: Any) -> tuple[bytes, bytes]:
    """By its names and, where that is something else, by its aliases."""
    by_name, by_alias = dump(state, by_alias=False), dump(state)
    if not by_name.startswith(b"{") or not by_alias.startswith(b"{"):
        raise ExecutionFailed("the environment's state is no object", hint="Return a State.")
    return by_name, b"" if by_name == by_alias else by_alias


def _raw(model: Any, exclude: set[str] | None = None) -> bytes:
    """The fields of a model that may have bytes in it, where MessagePack is there; else it is nobody's to ask for."""
    kind = type(model)
    if not messagepack.available() or not issubclass(kind, BaseModel) or not messagepack.has_bytes(kind):
        return b""
    try:
        return messagepack.pack(kind.__pydantic_serializer__.to_python(model, exclude=exclude))
    except (ExecutionFailed, ValueError, RecursionError):
        log.debug("a %s cannot be written as MessagePack", kind.__name__, exc_info=True)
        return b""


def _value(value: Any, op: str, by_name: bytes, by_alias: bytes) -> tuple[str, bytes, bytes, bytes]:
    """The value's kind, and where it is: a state is where states are."""
    if op == "state":
        return "state", *_both(value), b""
    kind, encoded = _encoded(value, op)
    return kind, by_name, by_alias, encoded


def _encoded(value: Any, op: str) -> tuple[str, bytes]:
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


@dataclass(slots=True)
class Answer:
    """A result, and where its world stands."""

    result: Result
    seq: int
    steps: int
    scenario: str | None


class AnswerReader:
    """Reads what an `AnswerWriter` wrote, in the server."""

    def __init__(self) -> None:
        self._place: tuple[str | None, str | None] = (None, None)

    def read(self, payload: bytes) -> Answer:
        """The answer in these bytes. Raises ``ValueError`` or ``RecursionError`` for bytes that hold none."""
        try:
            seconds, seq, steps, flags, kinds, reward, seen_reward, *sizes = _HEAD.unpack_from(payload)
        except struct.error as error:
            raise ValueError(f"an answer without a head: {error}") from None
        if _HEAD.size + sum(sizes) != len(payload):
            raise ValueError(f"the parts of an answer make {_HEAD.size + sum(sizes)} of {len(payload)} bytes")
        at = _HEAD.size
        rest = _NOTHING
        if sizes[0]:
            rest = _rest(payload[at : at + sizes[0]])
            at += sizes[0]
            if rest.place is not None:
                self._place = rest.place
        result = Result(done=bool(flags & _DONE), episode=self._place[0], seconds=seconds)
        result.reward = reward if kinds & _FLOAT else rest.reward
        if flags & _SEEN:
            body, metadata = payload[at : at + sizes[1]], payload[at + sizes[1] : at + sizes[1] + sizes[2]]
            result.observation = encoded_observation(
                body,
                done=bool(flags & _SEEN_DONE),
                reward=seen_reward if kinds & _SEEN_FLOAT else rest.seen_reward,
                metadata=value_of(metadata) if metadata else None,
                native=(bool(flags & _TERMINATED), bool(flags & _TRUNCATED), rest.stop_reason) if flags & _NATIVE else None,
                binary=_unpacked(payload[-sizes[6] - sizes[7] :], sizes[6]) if sizes[6] else None,
            )
        if rest is not _NOTHING or sizes[3]:
            _read_rest(result, rest, payload, at + sizes[1] + sizes[2], sizes)
        return Answer(result, seq, steps, self._place[1])


def _rest(encoded: bytes) -> _Rest:
    try:
        return _Rest.model_validate_json(encoded)
    except ValidationError:
        return _Rest.model_validate(value_of(encoded))  # an error's body may be nested deeper than pydantic reads


def _read_rest(result: Result, rest: _Rest, payload: bytes, at: int, sizes: list[int]) -> None:
    """The state, the value, the tool and the errors."""
    by_name, by_alias = payload[at : at + sizes[3]], payload[at + sizes[3] : at + sizes[3] + sizes[4]]
    raw = _unpacked(payload[-sizes[7] :], sizes[7]) if sizes[7] else None
    state = EncodedState.of(by_name, by_alias or None, raw) if by_name else None
    if rest.kind == "state":
        result.value = state
    else:
        result.state = state
        if rest.kind:
            at += sizes[3] + sizes[4]
            result.value = _read_value(rest.kind, payload[at : at + sizes[5]])
    result.tool = rest.tool
    if rest.error is not None:
        result.error = _error(rest.error)
    if rest.tool_error is not None:
        result.tool_error = _error(rest.tool_error)


def _unpacked(payload: bytes, size: int) -> dict[str, Any]:
    try:
        fields = messagepack.unpack(payload[:size])
    except InvalidFrame as error:
        raise ValueError(error.message) from None
    if type(fields) is not dict:
        raise ValueError("fields that are no map")
    return fields


def _read_value(kind: str, value: bytes) -> Any:
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
