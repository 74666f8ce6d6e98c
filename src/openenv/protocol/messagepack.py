"""MessagePack in and out, where the extra is installed."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from openenv.errors import ExecutionFailed, InvalidFrame

try:
    import msgpack as _msgpack
except ImportError:
    msgpack: Any = None
else:
    msgpack = _msgpack

log = logging.getLogger("openenv.protocol")

__all__ = ["available", "pack", "unpack"]

_DEEPEST = 200
_HEADS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
"""Bytes with which maps and lists begin, and others too: with no more of them than levels, nothing is too deep."""


def available() -> bool:
    """Whether ``openenv[msgpack]`` is installed."""
    return msgpack is not None


def unpack(frame: bytes) -> Any:
    """The value of a frame. Raises `InvalidFrame`: also for extension types but the timestamp."""
    try:
        value = msgpack.unpackb(frame, raw=False, strict_map_key=True, timestamp=3, ext_hook=_no_extension)
    except Exception as error:  # noqa: BLE001 - its exceptions have no common base but this, and all mean the same here
        why = str(error)[:300] or type(error).__name__
        raise InvalidFrame(f"Invalid MessagePack: {why}", hint="Send one map with text keys.") from None
    if len(frame) - len(frame.translate(None, _HEADS)) > _DEEPEST and _is_deep(value):
        raise InvalidFrame("Invalid MessagePack: nested too deeply", hint="Send a flatter message.")
    return value


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


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code}")
