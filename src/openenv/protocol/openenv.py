"""OpenEnv's own dialect on ``/ws``: ``{"type": …, "data": …}`` both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from openenv.errors import OpenEnvError, UnknownType, ValidationFailed
from openenv.operation import Operation, Result
from openenv.protocol.json import body_of, dump, dump_error, number, refusal
from openenv.types import is_choice

__all__ = ["OpenEnvCodec"]

_OPENINGS = ('{"type":"step","data":', '{"type": "step", "data": ')
"""How a step's frame begins as JavaScript and Python write it: what follows is the action, and a brace."""
_STRICT = ConfigDict(extra="forbid")


class _Reset(BaseModel):
    model_config = _STRICT
    type: Literal["reset"]
    data: dict[str, Any] = Field(default_factory=dict)


class _Bare(BaseModel):
    model_config = _STRICT
    type: Literal["state", "close"]


class _Enveloped(BaseModel):
    model_config = _STRICT
    type: Literal["step", "mcp"]
    data: dict[str, Any]


class OpenEnvCodec:
    """Made once per action type: a step's frame is validated in one pass over its bytes."""

    def __init__(self, action_type: Any) -> None:
        self._actions: TypeAdapter[Any] = TypeAdapter(action_type)
        self._read_action = self._actions.validator.validate_json
        self._choice = is_choice(action_type)
        fields: dict[str, Any] = {"type": (Literal["step"], ...), "data": (action_type, ...)}
        self._step = create_model("Step", __config__=_STRICT, **fields).__pydantic_validator__

    def decode_step(self, frame: str) -> Operation | None:
        """The operation of a well-formed step; None for everything else, which `decode` then explains.

        Of a frame that begins as usual only the action is read, which is half the work: if that is a document, so is the whole.
        """
        try:
            for opening in _OPENINGS:
                if frame.startswith(opening) and frame.endswith("}"):
                    return Operation("step", self._read_action(frame[len(opening) : -1]))
            return Operation("step", self._step.validate_json(frame).__dict__["data"])
        except ValidationError:
            return None

    def decode(self, message: Mapping[str, Any]) -> Operation:
        """The operation of any message. Raises `UnknownType` or `ValidationFailed`."""
        kind = message.get("type", "")
        try:
            if kind == "step":
                return Operation("step", self._action(_Enveloped.model_validate(message).data))
            if kind == "reset":
                return Operation("reset", arguments=_Reset.model_validate(message).data)
            if kind == "state" or kind == "close":
                return Operation(_Bare.model_validate(message).type)
        except ValidationError as error:
            raise refusal(error) from None
        raise UnknownType(f"Unknown message type: {str(kind)[:80]}", hint="Types are reset, step, state, mcp and close.")

    def _action(self, data: dict[str, Any]) -> Any:
        try:
            return self._actions.validate_json(json.dumps(data))
        except ValidationError as error:
            raise refusal(error, choice=self._choice) from None

    @staticmethod
    def inner(message: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON-RPC request inside an ``mcp`` message."""
        try:
            return _Enveloped.model_validate(message).data
        except ValidationError as error:
            raise refusal(error) from None

    @staticmethod
    def encode(operation: Operation, result: Result) -> bytes:
        """The reply frame."""
        if result.error is not None:
            return OpenEnvCodec.encode_error(result.error)
        try:
            if operation.op == "state":
                return b'{"type":"state","data":%b}' % dump(result.value, by_alias=False)
            return observation_data(result, b'{"type":"observation","data":', b"}")
        except OpenEnvError as error:
            return OpenEnvCodec.encode_error(error)

    @staticmethod
    def encode_error(error: OpenEnvError) -> bytes:
        """An error frame."""
        return b'{"type":"error","data":%b}' % dump_error(error.body())


def observation_data(result: Result, before: bytes = b"", after: bytes = b"") -> bytes:
    """``{"observation", "reward", "done"[, "metadata"]}``: reward and done lifted, metadata beside when there is any."""
    observation = result.observation
    assert observation is not None
    return b'%b{"observation":%b,"reward":%b,"done":%b%b}%b' % (
        before,
        body_of(observation),
        number(result.reward),
        b"true" if result.done else b"false",
        b',"metadata":%b' % dump(observation.metadata, by_alias=False) if observation.metadata else b"",
        after,
    )


def both_dialects(message: Mapping[str, Any]) -> ValidationFailed:
    """A frame that speaks two dialects at once."""
    return ValidationFailed(
        "a frame has either 'type' (OpenEnv's dialect) or 'action' (the simple one), not both",
        field="type",
        hint="Remove one of them.",
        example={"type": "step", "data": message.get("action") if isinstance(message.get("action"), dict) else {}},
    )
