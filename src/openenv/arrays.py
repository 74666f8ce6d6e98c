"""NumPy arrays in actions, observations and states: ``pip install "openenv[arrays]"``.

On the wire an array is an object of three keys: ``{"dtype": "<f4", "shape": [84, 84, 3], "data": …}``, row by row. ``data``
travels as `openenv.types.Binary` does: in JSON as a text in base64, in MessagePack as bytes, which are read without a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, LiteralString

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from openenv.errors import ConfigurationError
from openenv.types import Binary

try:
    import numpy as np
    import numpy.typing as npt
    from numpy import ndarray
except ImportError as error:
    raise ImportError('Arrays are NumPy\'s, which is not installed: pip install "openenv[arrays]"') from error

__all__ = ["Array", "ndarray", "packed"]

_MOST_DIMENSIONS: Final = 32
_BINARY: Final = TypeAdapter(Binary)
_SIZES: Final = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_DTYPES: Final = {
    dtype.str: dtype
    for kind, sizes in _SIZES.items()
    for size in sizes
    for dtype in (np.dtype(f"<{kind}{size}"), np.dtype(f">{kind}{size}"))
}
"""What may be written, by its name on the wire: truth values, numbers of either byte order, and nothing that holds objects."""


@dataclass(frozen=True, init=False, slots=True)
class Array:
    """Makes a field an array: ``pixels: Annotated[np.ndarray, Array("uint8", (84, 84, 3))]``.

    What is given for it is an array of exactly this type and shape, or an object as it comes from the wire; of the
    latter the array is read-only, for its memory is the frame's: ``array.copy()`` may be written to.

    Args:
        dtype: The type of its elements: a truth value, a whole, real or complex number of at most 64 bits for each part.
        shape: The length of each dimension, ``None`` for any; without a shape, anything of at most 32 dimensions.

    Raises:
        ConfigurationError: There is no array of this type or shape on the wire.
    """

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __init__(self, dtype: npt.DTypeLike, shape: Sequence[int | None] | None = None) -> None:
        known = np.dtype(dtype)
        if known.str not in _DTYPES:
            raise ConfigurationError(f"an array of {known} cannot travel", field="dtype", hint="Booleans and numbers can.")
        object.__setattr__(self, "dtype", known.newbyteorder("="))
        lengths = None if shape is None else tuple(shape)
        if lengths is not None and (len(lengths) > _MOST_DIMENSIONS or any(one is not None and one < 0 for one in lengths)):
            raise ConfigurationError(
                f"a shape is at most {_MOST_DIMENSIONS} numbers from 0, and None for any, not {shape!r}", field="shape"
            )
        object.__setattr__(self, "shape", lengths)

    def read(self, value: Any) -> npt.NDArray[Any]:
        """The array that a value is, or tells of. Raises ``PydanticCustomError`` where it is another one, or none."""
        array = value if isinstance(value, np.ndarray) else _unpacked(value)
        if array.dtype.newbyteorder("=") != self.dtype:
            raise _wrong("has elements of type {found}, where {wanted} is wanted", found=str(array.dtype), wanted=str(self.dtype))
        if self.shape is not None and not _fits(array.shape, self.shape):
            raise _wrong("has the shape {found}, where {wanted} is wanted", found=list(array.shape), wanted=list(self.shape))
        return array.astype(self.dtype, copy=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(_in_json, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = [name for name, dtype in _DTYPES.items() if dtype.newbyteorder("=") == self.dtype]
        shape: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": _MOST_DIMENSIONS}
        if self.shape is not None:
            lengths = [{"type": "integer", "minimum": 0} if one is None else {"const": one} for one in self.shape]
            shape = {"type": "array", "prefixItems": lengths, "minItems": len(lengths), "maxItems": len(lengths)}
        return {
            "type": "object",
            "properties": {
                "dtype": {"enum": names},
                "shape": shape,
                "data": {"type": "string", "contentEncoding": "base64url"},
            },
            "required": ["dtype", "shape", "data"],
            "additionalProperties": False,
        }


def packed(array: npt.NDArray[Any]) -> dict[str, Any]:
    """An array as it travels, with its bytes as they are. Raises ``TypeError`` for elements that cannot travel."""
    if array.dtype.str not in _DTYPES:
        raise TypeError(f"an array of {array.dtype} cannot travel: booleans and numbers can")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {"dtype": little.dtype.str, "shape": list(little.shape), "data": little.tobytes()}


def _in_json(array: npt.NDArray[Any]) -> dict[str, Any]:
    known = packed(array)
    return {**known, "data": _BINARY.dump_python(known["data"], mode="json")}


def _unpacked(value: Any) -> npt.NDArray[Any]:
    """The array of an object from the wire. Nothing in it is believed: type, lengths and bytes have to fit each other."""
    if not isinstance(value, Mapping) or value.keys() != {"dtype", "shape", "data"}:
        raise _wrong("is an array, or an object with the keys dtype, shape and data")
    name, shape = value["dtype"], value["shape"]
    dtype = _DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise _wrong("has a dtype that is none of {names}", names=", ".join(_DTYPES))
    if not isinstance(shape, list | tuple) or len(shape) > _MOST_DIMENSIONS:
        raise _wrong("has a shape that is no list of at most {most} numbers", most=_MOST_DIMENSIONS)
    if not all(type(length) is int and 0 <= length < 2**31 for length in shape):
        raise _wrong("has a shape that is no list of whole numbers from 0 to 2**31 - 1")
    try:
        data = _BINARY.validate_python(value["data"])
    except ValidationError:
        raise _wrong("has data that is neither bytes nor base64") from None
    if prod(shape) * dtype.itemsize != len(data):
        raise _wrong(
            "has {found} bytes of data, where {wanted} belong to its shape", found=len(data), wanted=prod(shape) * dtype.itemsize
        )
    if dtype.kind == "b" and data.strip(b"\0\1"):
        raise _wrong("has truth values that are neither 0 nor 1")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError:  # dimensions of no length beside some that no memory holds
        raise _wrong("has a shape that no array can have") from None


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(one in (None, length) for length, one in zip(shape, wanted, strict=True))


def _wrong(why: LiteralString, **known: Any) -> PydanticCustomError:
    return PydanticCustomError("array", "The value " + why, known or None)
