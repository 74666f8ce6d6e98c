"""What another process has encoded: observations and states that go to a client as the bytes that they came in.

They are models all the same: whoever reads an attribute, or dumps one, sees what is in the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, SerializationInfo, model_serializer
from pydantic_core import from_json

from openenv.types import Observation, Reward, State, WireObservation

__all__ = ["ENCODED", "EncodedObservation", "EncodedState", "EncodedWireObservation", "encoded_observation", "value_of"]

ModelT = TypeVar("ModelT", bound=BaseModel)


class EncodedWireObservation(WireObservation):
    """An observation that knows no ``terminated``; made by `encoded_observation`."""

    __slots__ = ("encoded",)
    model_config = ConfigDict(extra="allow")

    if TYPE_CHECKING:
        encoded: bytes


class EncodedObservation(Observation):
    """A native observation; made by `encoded_observation`."""

    __slots__ = ("encoded",)
    model_config = ConfigDict(extra="allow")

    if TYPE_CHECKING:
        encoded: bytes


class EncodedBinaryWireObservation(EncodedWireObservation):
    """One with bytes in it: what reads it as a model sees them as bytes."""

    model_config = ConfigDict(json_schema_extra={"format": "binary"})


class EncodedBinaryObservation(EncodedObservation):
    """A native one with bytes in it."""

    model_config = ConfigDict(json_schema_extra={"format": "binary"})


ENCODED: Final = frozenset({EncodedWireObservation, EncodedObservation, EncodedBinaryWireObservation, EncodedBinaryObservation})
"""The types of observations whose JSON is there already."""


def encoded_observation(
    encoded: bytes,
    *,
    done: bool,
    reward: Reward,
    metadata: Mapping[str, Any] | None,
    native: tuple[bool, bool, str | None] | None,
    binary: Mapping[str, Any] | None = None,
) -> EncodedObservation | EncodedWireObservation:
    """The observation in these bytes.

    Args:
        encoded: What `openenv.protocol.json.body_of` said of it.
        done: What travels beside it.
        reward: Likewise.
        metadata: Its metadata where they are encoded otherwise outside of it than in it.
        native: Its ``terminated``, ``truncated`` and ``stop_reason``, where it has any.
        binary: Its fields with bytes as bytes, where it has any.

    Raises:
        ValueError: the bytes are no JSON object; or ``RecursionError``, for one that is nested too deeply.
    """
    extra = _object_of(encoded)
    fields: dict[str, Any] = {"done": done, "reward": reward, "metadata": extra.pop("metadata", None) or {}}
    if metadata is not None:
        fields["metadata"] = metadata
    if binary is not None:
        extra = {name: value for name, value in binary.items() if name != "metadata"}
    made: EncodedObservation | EncodedWireObservation
    if native is None:
        made = _made(EncodedWireObservation if binary is None else EncodedBinaryWireObservation, fields, extra)
    else:
        fields["terminated"], fields["truncated"], fields["stop_reason"] = native
        made = _made(EncodedObservation if binary is None else EncodedBinaryObservation, fields, extra)
    object.__setattr__(made, "encoded", encoded)
    return made


class EncodedState(State):
    """A state; dumped by its fields' names or by their aliases, as its own class would."""

    __slots__ = ("_binary", "_by_alias", "_by_name")

    @classmethod
    def of(cls, by_name: bytes, by_alias: bytes | None = None, binary: Mapping[str, Any] | None = None) -> EncodedState:
        """The state in these bytes. Raises as `encoded_observation`.

        Args:
            by_name: The state with its fields' names.
            by_alias: The same with their aliases, where that is something else.
            binary: The same with bytes as bytes, where it has any.
        """
        named = _object_of(by_name)
        fields = {name: named.get(name) for name in ("episode_id", "step_count")}
        made = _made(cls, fields, {name: value for name, value in named.items() if name not in fields})
        object.__setattr__(made, "_binary", named if binary is None else binary)
        object.__setattr__(made, "_by_name", named)
        object.__setattr__(made, "_by_alias", named if by_alias is None else _object_of(by_alias))
        return made

    @model_serializer(mode="plain")
    def _dumped(self, info: SerializationInfo) -> dict[str, Any]:
        name = "_binary" if info.mode == "python" else "_by_alias" if info.by_alias else "_by_name"
        known: dict[str, Any] = getattr(self, name)
        return known


def value_of(encoded: bytes) -> Any:
    """The JSON value in these bytes. Raises ``ValueError`` or ``RecursionError`` where there is none."""
    try:
        return from_json(encoded)
    except ValueError:
        return json.loads(encoded.decode())  # Python's own nests deeper


def _object_of(encoded: bytes) -> dict[str, Any]:
    value = value_of(encoded)
    if type(value) is not dict:
        raise ValueError("not a JSON object")
    return value


def _made(kind: type[ModelT], fields: dict[str, Any], extra: dict[str, Any]) -> ModelT:
    """An instance without validation: the other process has done that."""
    made = kind.__new__(kind)
    put = object.__setattr__
    put(made, "__dict__", fields)
    put(made, "__pydantic_extra__", extra)
    put(made, "__pydantic_fields_set__", set(fields))
    put(made, "__pydantic_private__", None)
    return made
