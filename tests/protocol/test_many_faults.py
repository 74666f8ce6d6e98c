"""A message with a million faults, or with a long one, has an answer that is neither."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Annotated, Any

import msgpack
import pytest
from pydantic import BeforeValidator

from openenv import Action
from openenv.errors import InvalidArguments, OpenEnvError
from openenv.protocol import JsonRpcCodec, SocketCodec
from openenv.protocol.json import MOST_VALUES, is_vast, loads
from openenv.protocol.messagepack import unpack
from openenv.protocol.v2 import V2Codec
from openenv.protocol.v2_answers import ENCODINGS
from openenv.tools.arguments import Arguments
from tests.support.toys import Say

MANY = {f"field{number}": 1 for number in range(5000)}
LONG = {"text": ["x" * 100_000], "seconds": {"why": "y" * 2_000_000}}


def refused_on_a_socket(data: dict[str, Any]) -> OpenEnvError | None:
    invalid: OpenEnvError = SocketCodec(Say).decode(json.dumps({"type": "step", "data": data})).operation.payload
    return invalid


def refused_by_v2(data: dict[str, Any]) -> OpenEnvError | None:
    return V2Codec(Say).decode(json.dumps({"id": 1, "op": "step", "session": "one", "data": data})).error


@pytest.mark.parametrize("data", [MANY, LONG], ids=["many", "long"])
@pytest.mark.parametrize("refused", [refused_by_v2, refused_on_a_socket])
def test_a_step(refused: Callable[[dict[str, Any]], OpenEnvError | None], data: dict[str, Any]) -> None:
    error = refused(data)
    assert error is not None
    assert error.code == "VALIDATION_ERROR"
    for encoding in ENCODINGS.values():
        assert len(encoding.error(error).content) < 10_000


def test_what_is_short_is_listed_with_what_was_sent() -> None:
    error = refused_by_v2({"text": 7, "other": 1})
    assert error is not None
    assert error.errors is not None
    assert [one["input"] for one in error.errors] == [7, 1]


looked_at = 0


def look(value: Any) -> Any:
    global looked_at
    looked_at += 1
    return value


class Numbers(Action):
    numbers: list[Annotated[int, BeforeValidator(look)]]


def step_of_v2(data: Any) -> str:
    return json.dumps({"id": 1, "op": "step", "session": "one", "data": data})


def told_by_v2(frame: str | bytes) -> OpenEnvError | None:
    return V2Codec(Numbers).decode(frame).error


def told_on_a_socket(frame: str) -> OpenEnvError | None:
    operation = SocketCodec(Numbers).decode(frame).operation
    return operation.payload if operation.op == "invalid" else None


def test_a_request_of_too_many_values_is_not_looked_through() -> None:
    """Right or wrong: each of them would be an object in memory, and each wrong one a fault as well."""
    global looked_at
    looked_at = 0
    many = {"numbers": ["x"] * MOST_VALUES}
    refusals = {
        "v2": told_by_v2(step_of_v2(many)),
        "a batch": told_by_v2(json.dumps({"id": 1, "op": "batch", "data": {"entries": [many]}})),
        "MessagePack": told_by_v2(msgpack.packb({"id": 1, "op": "step", "session": "one", "data": many}) or b""),
        "OpenEnv's": told_on_a_socket(json.dumps({"type": "step", "data": many}, separators=(",", ":"))),
        "the simple one": told_on_a_socket(json.dumps({"action": many})),
        "deep ones": told_by_v2(step_of_v2({"numbers": [[[[1]]]] * (MOST_VALUES // 3)})),
        "keys": told_by_v2(step_of_v2(dict.fromkeys(map(str, range(MOST_VALUES)), "x"))),
    }
    for dialect, error in refusals.items():
        assert error is not None, dialect
        assert (error.code, "more than 500000 values" in error.message) == ("INVALID_JSON", True), dialect
    for frame in (step_of_v2(many), msgpack.packb({"id": 1, "op": "step", "data": many}) or b""):
        assert V2Codec(Numbers).decode(frame).id == 1  # so that its sender does not wait for ever
    assert JsonRpcCodec().decode(json.dumps({"jsonrpc": "2.0", "id": 1, "params": many})).answer is not None
    assert looked_at == 0
    assert told_by_v2(step_of_v2({"numbers": [1] * (MOST_VALUES - 100)})) is None
    assert looked_at == MOST_VALUES - 100


@pytest.mark.parametrize("text", ['",[{' * MOST_VALUES, "\\,[" * MOST_VALUES, '\\"[,' * MOST_VALUES, '"' * 5 * MOST_VALUES])
def test_what_is_in_a_text_is_no_value(text: str) -> None:
    assert not is_vast(json.dumps({"text": text, "other": [text, 1]}))
    assert is_vast(json.dumps({"text": text, "other": [1] * MOST_VALUES}))


def test_the_faults_of_a_batch_are_listed_up_to_a_number() -> None:
    def errors(faults: int) -> list[OpenEnvError]:
        entry = {"session": "one", "action": {"numbers": ["x"] * faults}}
        request = V2Codec(Numbers).decode(json.dumps({"id": 1, "op": "batch", "data": {"entries": [entry] * 4096}}))
        return [one.error for one in request.data]

    few, many = errors(3), errors(90)
    assert {error.field for error in few} == {"numbers.0"}
    assert sum(len(error.errors or ()) for error in few) == 3 * 4096
    listed = [len(error.errors or ()) for error in many]
    assert (listed.count(90), listed.count(1)) == (455, 4096 - 455)
    assert len(ENCODINGS["openenv.v2"].results([ENCODINGS["openenv.v2"].error(error) for error in many]).content) < 10_000_000


def test_a_request_of_json_rpc_with_many_faults_names_their_number() -> None:
    call = JsonRpcCodec().decode(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"} | MANY))
    assert call.answer is not None
    assert b"5000 faults are too many to list" in call.answer


@pytest.mark.parametrize(
    ("read", "document"), [(loads, '{"a":' + "[" * 300 + "]" * 300 + "}"), (loads, "[" * 300), (unpack, b"\x91" * 300 + b"\xc1")]
)
def test_the_collector_goes_on_after_a_document_that_cannot_be_read(read: Callable[[Any], Any], document: Any) -> None:
    with pytest.raises((OpenEnvError, ValueError, RecursionError)):
        read(document)
    assert gc.isenabled()


def test_arguments_of_a_tool() -> None:
    def listen(word: str) -> None:
        """Hear a word."""

    with pytest.raises(InvalidArguments) as raised:
        Arguments(listen).validate(MANY)
    assert "5001 faults" in raised.value.message
    assert len(json.dumps(raised.value.body())) < 1000
