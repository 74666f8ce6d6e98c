"""MessagePack in and out, where the extra is installed."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from openenv.errors import ExecutionFailed, InvalidFrame

try:
    import msgpack as _msgpack
except ImportError:
    msgpack: Any = None
else:
    msgpack = _msgpack

__all__ = ["available", "pack", "unpack"]


def available() -> bool:
    """Whether ``openenv[msgpack]`` is installed."""
    return msgpack is not None


def unpack(frame: bytes) -> Any:
    """The value of a frame. Raises `InvalidFrame`: also for extension types but the timestamp."""
    try:
        return msgpack.unpackb(frame, raw=False, strict_map_key=True, timestamp=3, ext_hook=_no_extension)
    except Exception as error:  # noqa: BLE001 - its exceptions have no common base but this, and all mean the same here
        why = str(error)[:300] or type(error).__name__
        raise InvalidFrame(f"Invalid MessagePack: {why}", hint="Send one map with text keys.") from None


def pack(value: Any) -> bytes:
    """Any value; what MessagePack has no type for goes as in JSON. Raises `ExecutionFailed` for what cannot be written."""
    try:
        packed: bytes = msgpack.packb(value, default=to_jsonable_python, use_bin_type=True)
    except (ValueError, TypeError, OverflowError, RecursionError, PydanticSerializationError) as error:
        raise ExecutionFailed(f"the environment's answer cannot be written as MessagePack: {error}") from None
    return packed


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code}")
