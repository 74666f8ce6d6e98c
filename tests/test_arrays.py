"""Arrays and bytes as fields, without a server."""

from __future__ import annotations

from typing import Annotated, Any

import msgpack
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, create_model

from openenv.arrays import Array, packed
from openenv.errors import ConfigurationError
from openenv.types import Binary


class Anything(BaseModel):
    array: Annotated[npt.NDArray[Any], Array("float64")]


def model_of(dtype: str, shape: tuple[int | None, ...] | None = None) -> type[BaseModel]:
    return create_model("Model", array=(Annotated[npt.NDArray[Any], Array(dtype, shape)], ...))


DTYPES = ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", "float16", "float64", "complex64", ">f4", ">i8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_an_array_comes_back_as_it_went(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    model = model_of(dtype, tuple(None if length == 3 else length for length in shape))
    given_one: Any = model(array=array)
    for again in (
        model.model_validate_json(given_one.model_dump_json()),
        model.model_validate(given_one.model_dump(mode="json")),
        model.model_validate(msgpack.unpackb(msgpack.packb({"array": packed(array)}))),
        model.model_validate(given_one.model_dump()),
    ):
        read: Any = again
        np.testing.assert_array_equal(read.array, array)
        assert (read.array.dtype, read.array.shape) == (np.dtype(dtype).newbyteorder("="), shape)


def test_what_lies_across_memory_travels_row_by_row() -> None:
    array = np.arange(12, dtype="float64").reshape(3, 4).T[::2]
    read = Anything.model_validate_json(Anything(array=array).model_dump_json())
    np.testing.assert_array_equal(read.array, array)


def test_from_bytes_it_is_read_without_a_copy() -> None:
    sent = {"dtype": "<f8", "shape": [1000], "data": np.arange(1000.0).tobytes()}
    array = Anything.model_validate({"array": sent}).array
    assert np.shares_memory(array, np.frombuffer(sent["data"]))  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize("dtype", ["object", "U5", "S5", "datetime64[s]", "V8", [("a", "i4")]])
def test_what_cannot_travel_is_refused_where_it_is_declared(dtype: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot travel"):
        Array(dtype)
    with pytest.raises(TypeError, match="cannot travel"):
        packed(np.empty(1, dtype))


@pytest.mark.parametrize("shape", [(-1,), (1,) * 33])
def test_a_shape_that_makes_no_sense_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationError, match="a shape is at most 32 numbers"):
        Array("uint8", shape)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros(3, "float32"), "elements of type float32, where float64"),
        (np.zeros(3, "int64"), "elements of type int64"),
        ([0.0], "an array, or an object with the keys"),
        ("AAAA", "an array, or an object with the keys"),
        (None, "an array, or an object with the keys"),
    ],
)
def test_whoever_makes_one_is_told_what_is_wrong(array: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Anything(array=array)


def test_truth_values_are_0_and_1() -> None:
    model = model_of("bool")
    good: Any = model.model_validate({"array": {"dtype": "|b1", "shape": [2], "data": b"\0\1"}})
    assert good.array.tolist() == [False, True]
    with pytest.raises(ValidationError, match="neither 0 nor 1"):
        model.model_validate({"array": {"dtype": "|b1", "shape": [2], "data": b"\0\2"}})


_JUNK = (
    st.none() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=16)
    | st.lists(st.integers(-2, 2**65), max_size=4)
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["dtype", "shape", "data", "more"]), _JUNK | st.sampled_from(["<f8", "|O8"]), max_size=4))
def test_nothing_from_the_wire_raises_anything_else(value: dict[str, Any]) -> None:
    try:
        array = Anything.model_validate({"array": value}).array
    except ValidationError:
        return
    assert array.dtype == np.float64
    assert array.nbytes <= 16


class Bytes(BaseModel):
    value: Annotated[Binary, Field(max_length=64)]
    more: list[Binary] = []


@given(st.binary(max_size=64))
def test_bytes_come_back_as_they_went(value: bytes) -> None:
    made = Bytes(value=value, more=[value, b""])
    assert Bytes.model_validate_json(made.model_dump_json()) == made
    assert Bytes.model_validate(made.model_dump(mode="json")) == made
    assert made.model_dump()["value"] == value


@pytest.mark.parametrize("value", ["A", "AB==", "A===", "A A=", "/-8=", "ä", 5, 1.5, None, ["AA=="], b"x" * 65])
def test_what_are_no_bytes_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        Bytes(value=value)
    for text in ("_-8=", "/+8=", "_-8"):
        assert Bytes.model_validate({"value": text}).value == b"\xff\xef"
