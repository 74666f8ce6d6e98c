"""The simple dialect on ``/ws``: ``{"action": …}`` in, ``{"observation", "reward", "done", "state"}`` out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from openenv.errors import OpenEnvError, UnknownType, ValidationFailed
from openenv.operation import Operation, Result
from openenv.protocol.json import body_of, dump, dump_error, number, refusal
from openenv.types import is_choice

__all__ = ["SimpleCodec"]

_OPENINGS: Final = ('{"action":', '{"action": ')
"""As in `OpenEnvCodec`'s dialect."""
_WITH_STATE: Final = frozenset({"state"})
_STATE_AND_LAST: Final = frozenset({"state", "observation"})


class SimpleCodec:
    """Made once per action type."""

    def __init__(self, action_type: Any) -> None:
        self._actions: TypeAdapter[Any] = TypeAdapter(action_type)
        self._read_action = self._actions.validator.validate_json
        self._choice = is_choice(action_type)
        step = create_model("SimpleStep", __config__=ConfigDict(extra="forbid"), action=(action_type, ...))
        self._step = step.__pydantic_validator__

    def decode_step(self, frame: str) -> Operation | None:
        """The operation of a well-formed step; None for everything else."""
        try:
            for opening in _OPENINGS:
                if frame.startswith(opening) and frame.endswith("}"):
                    return Operation("step", self._read_action(frame[len(opening) : -1]), include=_WITH_STATE)
            return Operation("step", self._step.validate_json(frame).__dict__["action"], include=_WITH_STATE)
        except ValidationError:
            return None

    def decode(self, message: Mapping[str, Any]) -> Operation:
        """The operation of any message. Raises `UnknownType` or `ValidationFailed`."""
        action = message["action"]
        others = {key: value for key, value in message.items() if key != "action"}
        if action == "reset":
            return Operation("reset", arguments=others, include=_WITH_STATE)
        if isinstance(action, str) and action not in ("state", "close"):
            hint = "Send 'reset', 'state', 'close', or an object to step with."
            raise UnknownType(f"Unknown action: {action[:80]}", field="action", hint=hint)
        if others:
            name = next(iter(others))
            raise ValidationFailed(f"unknown field {name!r}", field=name, hint="Only a reset takes fields beside 'action'.")
        if action == "state":
            return Operation("state", include=_STATE_AND_LAST)
        if action == "close":
            return Operation("close")
        try:
            return Operation("step", self._actions.validate_json(json.dumps(action)), include=_WITH_STATE)
        except ValidationError as error:
            raise refusal(error, message="Invalid action", choice=self._choice) from None

    @staticmethod
    def encode(operation: Operation, result: Result) -> bytes:
        """The reply frame."""
        if result.error is not None:
            return SimpleCodec.encode_error(result.error)
        state = result.value if operation.op == "state" else result.state
        try:
            return b'{"observation":%b,"reward":%b,"done":%b,"state":%b}' % (
                b"null" if result.observation is None else body_of(result.observation),
                number(result.reward),
                b"true" if result.done else b"false",
                dump(state),
            )
        except OpenEnvError as error:
            return SimpleCodec.encode_error(error)

    @staticmethod
    def encode_error(error: OpenEnvError) -> bytes:
        """An error frame."""
        return b'{"error":%b}' % dump_error(error.body())
