"""OpenEnv's frames as a client writes and reads them: pure functions, no socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from openenv.errors import ServerError, ValidationFailed
from openenv.types import Observation, StepResult

CLOSE = b'{"type":"close"}'


def encode(kind: str, data: Any = None) -> bytes:
    """The frame ``{"type": kind, "data": data}``; without ``data`` where it is ``None``.

    Raises:
        ValidationFailed: Something in the data has no form in JSON.
    """
    try:
        frame = {"type": kind} if data is None else {"type": kind, "data": data}
        return to_json(frame, serialize_unknown=False, bytes_mode="base64")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise ValidationFailed(
            f"The {kind} cannot be sent as JSON: {error}", hint="Send plain values and pydantic models."
        ) from None


def decode(frame: bytes) -> tuple[str, Any]:
    """The type and the data of a reply.

    Raises:
        ValueError: It is no frame of OpenEnv's; the text says why, for a sentence that begins "the server sent".
    """
    try:
        reply = from_json(frame)
    except ValueError:
        raise ValueError(f"something that is not JSON: {_short(frame)}") from None
    if not isinstance(reply, dict) or not isinstance(reply.get("type"), str) or not isinstance(reply.get("data"), dict):
        raise ValueError(f"JSON that is no OpenEnv frame: {_short(frame)}")
    return reply["type"], reply["data"]


def server_error(body: Mapping[str, Any]) -> ServerError:
    """The exception for an error's body, from a frame, an HTTP answer or JSON-RPC's ``data``."""
    return ServerError(
        text_of(body.get("message"), "no message"), code=text_of(body.get("code"), "INTERNAL_ERROR"), **known_of(body)
    )


def known_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What else an error's body says, as the keyword arguments of `OpenEnvError`."""
    errors = body.get("errors")
    return {
        "field": _text_or_none(body.get("field")),
        "hint": _text_or_none(body.get("hint")),
        "example": body.get("example"),
        "errors": [item for item in errors if isinstance(item, dict)] if isinstance(errors, list) else None,
        "details": {key: value for key, value in body.items() if key not in _KNOWN},
    }


_ENDING = ("terminated", "truncated", "stop_reason")
"""What protocol v2 says beside ``done``."""
_KNOWN = frozenset({"message", "code", "field", "hint", "example", "errors"})


def payload_of(action: Any) -> dict[str, Any]:
    """An action as the object that a step's ``data`` is.

    A model is dumped whole, with the fields of subclasses wherever they hide; a mapping goes as it is.

    Raises:
        ValidationFailed: It is neither.
    """
    if isinstance(action, BaseModel):
        return action.model_dump(mode="json", polymorphic_serialization=True)
    if isinstance(action, Mapping):
        return dict(action)
    raise ValidationFailed(
        f"An action is a pydantic model or a mapping, not {type(action).__name__}", hint='For example {"message": "hello"}.'
    )


def result_of(data: Mapping[str, Any], observation_type: type[BaseModel] | None) -> StepResult[Any]:
    """The result in the data of an ``observation`` reply, or in the body of an HTTP reset or step.

    A typed `Observation` gets the reward and ``done`` back, which travel beside it.

    Raises:
        ValidationFailed: The observation does not fit its type.
    """
    if "observation" not in data:
        raise ValidationFailed("The server's answer has no observation", field="observation", hint="Is this an OpenEnv server?")
    observation, reward, done = data["observation"], data.get("reward"), bool(data.get("done", False))
    if observation_type is not None:
        if isinstance(observation, dict) and issubclass(observation_type, Observation):
            observation = {**observation, "reward": reward, "done": done}
            if done:
                observation.update((key, data[key]) for key in _ENDING if key in data)
        observation = _validated(observation, observation_type, "observation")
    return StepResult(observation=observation, reward=reward, done=done, metadata=data.get("metadata"))


def state_of(data: Mapping[str, Any], state_type: type[BaseModel] | None) -> Any:
    """The state in the data of a ``state`` reply: a dict, or validated where a type is given."""
    return dict(data) if state_type is None else _validated(data, state_type, "state")


def _validated(value: Any, model: type[BaseModel], what: str) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors: Sequence[Mapping[str, Any]] = [dict(item) for item in error.errors(include_url=False, include_context=False)]
        first = errors[0]
        where = ".".join([what, *map(str, first["loc"])])
        raise ValidationFailed(
            f"The server's {what} does not fit {model.__name__}: {where}: {first['msg']}",
            field=where,
            hint="Client and server may be of different versions; GenericEnvClient reads any answer.",
            errors=errors,
        ) from None


def text_of(value: Any, default: str) -> str:
    """The value where it is a text that says something, else the default: what a server sends is not trusted."""
    return value if isinstance(value, str) and value else default


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _short(frame: bytes) -> str:
    text = repr(frame[:80].decode("utf-8", "replace"))
    return text if len(frame) <= 80 else f"{text}… ({len(frame)} bytes)"
