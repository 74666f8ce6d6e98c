"""MessagePack in and out, where the extra is installed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sized
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import to_jsonable_python

from openenv.errors import ExecutionFailed, InvalidFrame
from openenv.protocol.json import MOST_VALUES, in_one_go

try:
    import msgpack as _msgpack
except ImportError:
    msgpack: Any = None
else:
    msgpack = _msgpack

log = logging.getLogger("openenv.protocol")

__all__ = ["available", "first_entry", "has_bytes", "pack", "unpack"]

_DEEPEST = 200
_LONGEST_FIRST = 64
"""Bytes in which an entry is to be found."""
_HEADS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
"""Bytes with which maps and lists begin, and others too: with no more of them than levels, nothing is too deep."""
_BYTES: Final = ('"contentEncoding"', '"format": "binary"')


def available() -> bool:
    """Whether ``openenv[msgpack]`` is installed."""
    return msgpack is not None


def unpack(frame: bytes, *, bounded: bool = False) -> Any:
    """The value of a frame. Raises `InvalidFrame`: also for extension types but the timestamp.

    A request is read ``bounded``: with more than `MOST_VALUES` values it is refused too.
    """
    how: dict[str, Any] = {"raw": False, "strict_map_key": True, "timestamp": 3, "ext_hook": _no_extension}
    if bounded and len(frame) > MOST_VALUES:
        how["list_hook"] = how["object_hook"] = _counting()
    nested = len(frame) - len(frame.translate(None, _HEADS)) > _DEEPEST
    try:
        value = in_one_go(lambda: msgpack.unpackb(frame, **how)) if nested else msgpack.unpackb(frame, **how)
    except Exception as error:  # noqa: BLE001 - its exceptions have no common base but this, and all mean the same here
        why = str(error)[:300] or type(error).__name__
        raise InvalidFrame(f"Invalid MessagePack: {why}", hint="Send one map with text keys.") from None
    if nested and _is_deep(value):
        raise InvalidFrame("Invalid MessagePack: nested too deeply", hint="Send a flatter message.")
    return value


def first_entry(frame: bytes) -> tuple[Any, Any] | None:
    """The first key and value of a map that cannot be read as a whole; None where these cannot be either."""
    reader = msgpack.Unpacker()
    try:
        reader.feed(frame[:_LONGEST_FIRST])
        reader.read_map_header()
        return reader.unpack(), reader.unpack()
    except Exception:  # noqa: BLE001 - as in `unpack`; the frame was refused already
        return None


def pack(value: Any, *, textual: bool = False) -> bytes:
    """Any value; what MessagePack has no type for goes as in JSON, but for arrays, whose bytes stay bytes.

    The keys of maps become texts, unless the caller knows that they are: ``textual``.

    Raises:
        ExecutionFailed: It cannot be written.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_plain)
        if not textual and not _is_textual(packed):
            packed = msgpack.packb(_text_keyed(value), default=lambda one: _text_keyed(_plain(one)))
    except Exception as error:  # what a model's computed fields raise comes as it is
        log.warning("an answer cannot be written as MessagePack", exc_info=True)
        raise ExecutionFailed(f"the environment's answer cannot be written as MessagePack: {error}") from None
    return packed


@lru_cache(maxsize=1024)
def has_bytes(kind: type[BaseModel]) -> bool:
    """Whether such a model may have bytes or arrays in it: only then it is not written as JSON would write it."""
    try:
        schema = json.dumps(kind.model_json_schema(mode="serialization", schema_generator=_Quiet))
    except (PydanticInvalidForJsonSchema, PydanticUserError, ValueError):
        return True
    return any(mark in schema for mark in _BYTES)


def _is_deep(value: Any) -> bool:
    """Whether it is nested deeper than a document of JSON may be, which is less deep than an answer can be written."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        level = [
            part
            for one in level
            for part in (one.values() if type(one) is dict else one)
            if type(part) is dict or type(part) is list
        ]
        if not level:
            return False
    return True


def _plain(value: Any) -> Any:
    """Something like it that has a type in MessagePack."""
    if isinstance(value, BaseModel):
        return value.model_dump()  # not as JSON: bytes stay bytes
    if type(value).__module__ == "numpy":  # which is loaded then
        from openenv.arrays import ndarray, packed

        if isinstance(value, ndarray):
            return packed(value)
    return to_jsonable_python(value)


def _is_textual(packed: bytes) -> bool:
    """Whether all keys of maps are texts. Reading it again takes a fraction of a walk through the values."""
    try:
        msgpack.unpackb(packed)
    except ValueError:
        return False
    return True


def _text_keyed(value: Any) -> Any:
    """The same with texts as keys, written as JSON would write them."""
    if isinstance(value, dict):
        return {next(iter(to_jsonable_python({key: None}))): _text_keyed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_text_keyed(one) for one in value]
    return value


def _counting() -> Callable[[Sized], Sized]:
    """Takes each list and map that is read, until there is too much in them."""
    left = MOST_VALUES

    def count(one: Sized) -> Sized:
        nonlocal left
        left -= 1 + len(one)
        if left < 0:
            raise ValueError(f"more than {MOST_VALUES} values; send less at once")
        return one

    return count


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code}")


class _Quiet(GenerateJsonSchema):
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as its base
