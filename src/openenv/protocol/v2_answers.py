"""Protocol v2: what goes out, in its two encodings.

An answer's *body* (``"ok": …`` or ``"error": …``) is made once and kept; the frame around it says whose request it answers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from pydantic_core import PydanticSerializationError, to_json

from openenv.encoded import value_of as encoded_value
from openenv.errors import ExecutionFailed, OpenEnvError
from openenv.operation import Operation, Result
from openenv.protocol.json import body_of, dump, dump_error, loads, number, words_of
from openenv.protocol.jsonrpc import annotations_of
from openenv.protocol.messagepack import has_bytes, pack, unpack
from openenv.types import Reward, ToolListing, WireObservation

__all__ = ["ENCODINGS", "Body", "Encoding", "JsonEncoding", "MessagePackEncoding", "shown", "value_of"]

log = logging.getLogger("openenv.protocol")

_SEEN: Final = frozenset({"reset", "step", "call_tool"})
_LIFTED: Final = {"reward", "done"}


class Body(NamedTuple):
    """The part of an answer that is the same wherever it goes, in one encoding."""

    encoding: Encoding
    content: bytes
    """The bytes of one key and its value."""


class Encoding(Protocol):
    """How frames are written."""

    name: str
    """The WebSocket subprotocol."""
    binary: bool

    def result(self, operation: Operation, result: Result) -> Body:
        """The body that answers an operation."""
        ...

    def ok(self, value: dict[str, Any]) -> Body:
        """The body of an answer that is neither an observation nor an error."""
        ...

    def error(self, error: OpenEnvError) -> Body:
        """The body of a refusal."""
        ...

    def results(self, bodies: Sequence[Body]) -> Body:
        """The body that answers a batch."""
        ...

    def text(self, value: str) -> bytes:
        """A text as it is written."""
        ...

    def read(self, frame: str | bytes) -> Any:
        """Any frame of this encoding. Raises ``ValueError`` or `InvalidFrame`."""
        ...

    def written(self, message: Any) -> str | bytes:
        """Any frame of this encoding."""
        ...

    def body(self, answer: Mapping[str, Any]) -> Body:
        """The body of an answer that was read."""
        ...

    def frame(self, number: int | None, session: bytes | None, body: Body) -> bytes:
        """A whole answer, about a session as `text` writes its id; a body of another encoding is written anew."""
        ...

    def event(self, name: str, session: str | None, data: Any, dropped: int) -> bytes:
        """A whole event. Raises `ExecutionFailed` for data that cannot be written."""
        ...


class JsonEncoding:
    """Text frames."""

    name = "openenv.v2"
    binary = False

    def result(self, operation: Operation, result: Result) -> Body:
        if result.error is not None:
            return self.error(result.error)
        try:
            if operation.op in _SEEN:
                return Body(self, self._seen(operation, result))
            return self.ok(value_of(operation, result))
        except OpenEnvError as error:
            return self.error(error)

    @staticmethod
    def _seen(operation: Operation, result: Result) -> bytes:
        observation = _shown_by(result)
        plain = operation.op == "step" and not result.done and not observation.metadata
        rest = None if plain else _beside(operation, result, observation)
        return b'"ok":{"observation":%b,"reward":%b,"done":%b%b}' % (
            body_of(observation),
            number(result.reward),
            b"true" if result.done else b"false",
            b"," + _dump(rest)[1:-1] if rest else b"",
        )

    def ok(self, value: dict[str, Any]) -> Body:
        return Body(self, b'"ok":' + _dump(value))

    def error(self, error: OpenEnvError) -> Body:
        return Body(self, b'"error":' + dump_error(error.body()))

    def results(self, bodies: Sequence[Body]) -> Body:
        written = b"},{".join(self._content(body) for body in bodies)
        return Body(self, b'"ok":{"results":[%b]}' % (b"{%b}" % written if bodies else b""))

    def text(self, value: str) -> bytes:
        return dump(value)

    def read(self, frame: str | bytes) -> Any:
        return loads(frame)

    def written(self, message: Any) -> str | bytes:
        return _dump(message).decode()

    def body(self, answer: Mapping[str, Any]) -> Body:
        return Body(self, _dump(_kept(answer))[1:-1])

    def frame(self, number: int | None, session: bytes | None, body: Body) -> bytes:
        known = b"null" if number is None else b"%d" % number
        content = body.content if body.encoding is self else self._content(body)
        if session is None:
            return b'{"id":%b,%b}' % (known, content)
        return b'{"id":%b,"session":%b,%b}' % (known, session, content)

    def event(self, name: str, session: str | None, data: Any, dropped: int) -> bytes:
        return _dump(_event(name, session, data, dropped))

    def _content(self, body: Body) -> bytes:
        if body.encoding is self:
            return body.content
        return _dump(unpack(b"\x81" + body.content))[1:-1]


class MessagePackEncoding:
    """Binary frames."""

    name = "openenv.v2+msgpack"
    binary = True

    def result(self, operation: Operation, result: Result) -> Body:
        if result.error is not None:
            return self.error(result.error)
        try:
            if operation.op in _SEEN:
                return self._seen(operation, result)
            return self.ok(value_of(operation, result))
        except OpenEnvError as error:
            return self.error(error)

    def _seen(self, operation: Operation, result: Result) -> Body:
        observation = _shown_by(result)
        kind = type(observation)
        plain = not has_bytes(kind)
        try:
            seen = kind.__pydantic_serializer__.to_python(observation, mode="json" if plain else "python", exclude=_LIFTED)
        except Exception as error:  # what the fields that are computed raise comes as it is
            log.warning("an observation cannot be written", exc_info=True)
            raise ExecutionFailed(f"the observation cannot be written: {error}") from None
        known = {"observation": seen, "reward": _finite(result.reward), "done": result.done}
        beside = _beside(operation, result, observation)
        return Body(self, _OK + pack(known | beside, textual=plain and not beside))

    def ok(self, value: dict[str, Any]) -> Body:
        return Body(self, _OK + pack(value))

    def error(self, error: OpenEnvError) -> Body:
        body = error.body()
        try:
            told = loads(dump_error(body))
        except (ValueError, RecursionError):  # what was sent is in it, and that was nested deeper than an answer may be
            told = words_of(body)
        return Body(self, _ERROR + pack(told))

    def results(self, bodies: Sequence[Body]) -> Body:
        head = b"\x81" + pack("results") + b"\xdd" + len(bodies).to_bytes(4, "big")
        return Body(self, _OK + head + b"".join(b"\x81" + self._content(body) for body in bodies))

    def text(self, value: str) -> bytes:
        return pack(value)

    def read(self, frame: str | bytes) -> Any:
        return unpack(frame if isinstance(frame, bytes) else frame.encode())

    def written(self, message: Any) -> str | bytes:
        return pack(message)

    def body(self, answer: Mapping[str, Any]) -> Body:
        return Body(self, pack(_kept(answer))[1:])

    def frame(self, number: int | None, session: bytes | None, body: Body) -> bytes:
        head = b"\x82" if session is None else b"\x83"
        named = b"" if session is None else _SESSION + session
        return b"".join((head, _ID, pack(number), named, self._content(body)))

    def event(self, name: str, session: str | None, data: Any, dropped: int) -> bytes:
        return pack(_event(name, session, data, dropped))

    def _content(self, body: Body) -> bytes:
        if body.encoding is self:
            return body.content
        (key, value), *_ = loads(b"{%b}" % body.content).items()
        return pack(key) + pack(value)


ENCODINGS: Final[dict[str, Encoding]] = {one.name: one for one in (JsonEncoding(), MessagePackEncoding())}

_OK: Final = b"\xa2ok"
_ERROR: Final = b"\xa5error"
_ID: Final = b"\xa2id"
_SESSION: Final = b"\xa7session"


def _kept(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The one key of an answer that is its body."""
    key = "ok" if "ok" in answer else "error"
    return {key: answer[key]}


def shown(operation: Operation, result: Result) -> dict[str, Any]:
    """The data of the event ``step``. Raises `ExecutionFailed` for an observation that cannot be written."""
    observation = _shown_by(result)
    try:
        seen = encoded_value(body_of(observation))
    except (ValueError, RecursionError) as error:
        raise ExecutionFailed(f"the observation cannot be shown: {error}") from None
    known = {"op": operation.op, "observation": seen, "reward": result.reward, "done": result.done}
    return known | _beside(operation, result, observation)


def _shown_by(result: Result) -> WireObservation:
    if result.observation is None:  # a worker process has found out that it cannot be written
        raise ExecutionFailed("the observation cannot be written")
    return result.observation


def value_of(operation: Operation, result: Result) -> dict[str, Any]:
    """What answers an operation that shows no observation."""
    value = result.value
    match operation.op:
        case "state":
            return {"state": value, "busy": result.busy}
        case "list_tools":
            return {"tools": [_listing(one) for one in value]}
        case "fork":
            return {"sessions": value}
        case "close":
            return {}
    assert isinstance(value, dict)
    return value


def _beside(operation: Operation, result: Result, observation: WireObservation) -> dict[str, Any]:
    """What there is beside the observation, its reward and ``done``; mostly nothing."""
    known: dict[str, Any] = {}
    if observation.metadata:
        known["metadata"] = observation.metadata
    if result.done:
        truncated = bool(getattr(observation, "truncated", False))
        known["terminated"] = bool(getattr(observation, "terminated", False)) or not truncated
        known["truncated"] = truncated
        reason = getattr(observation, "stop_reason", None)
        if isinstance(reason, str):
            known["stop_reason"] = reason
    if operation.op == "reset":
        known["episode_id"] = result.episode
    elif operation.op == "call_tool":
        error = result.tool_error
        outcome = {"result": result.value} if error is None else {"error": error.body()}
        known["tool"] = {"name": result.tool, **outcome}
    return known


def _listing(tool: ToolListing) -> dict[str, Any]:
    known = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "annotations": annotations_of(tool),
        "icons": tool.icons,
        "meta": tool.meta,
    }
    return {key: value for key, value in known.items() if value is not None}


def _event(name: str, session: str | None, data: Any, dropped: int) -> dict[str, Any]:
    event = {"event": name, "session": session, "data": data}
    if session is None:
        del event["session"]
    return event | {"dropped": dropped} if dropped else event


def _dump(value: Any) -> bytes:
    """As `openenv.protocol.json.dump`, with bytes as texts in base64."""
    try:
        return to_json(value, inf_nan_mode="null", by_alias=False, bytes_mode="base64")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ExecutionFailed(f"the environment's answer cannot be written as JSON: {error}") from None


def _finite(reward: Reward) -> Reward:
    return None if isinstance(reward, float) and not math.isfinite(reward) else reward
