"""Whatever arrives, decoding never raises, and whatever was decoded can be answered with JSON; `tests.fuzz` asks servers."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from openenv import Action, Observation
from openenv.errors import InvalidFrame
from openenv.operation import Result
from openenv.protocol import JsonRpcCodec, SocketCodec
from openenv.protocol.json import loads
from openenv.protocol.messagepack import unpack
from openenv.types import CallToolAction, ListToolsAction, State
from tests.fuzz.values import Hostile, write


class Say(Action):
    message: str
    number: float = 0.0
    anything: Any = None


SOCKETS = [SocketCodec(Say), SocketCodec(Action), SocketCodec(ListToolsAction | CallToolAction)]
RPC = JsonRpcCodec()


def strict(text: bytes) -> Any:
    return json.loads(text, parse_constant=pytest.fail)


def played(codec: SocketCodec, frame: str) -> Any:
    decoded = codec.decode(frame)
    operation = decoded.operation
    if operation.op == "invalid":
        return strict(codec.encode(decoded, Result(error=operation.payload)))
    return strict(codec.encode(decoded, Result(observation=Observation(), value=State() if operation.op == "state" else [])))


SEEDS = range(40)
GOOD = [
    {"type": "step", "data": {"message": "hello", "number": 1.5, "anything": {"a": [1]}}},
    {"type": "reset", "data": {"seed": 7}},
    {"type": "state"},
    {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x", "arguments": {}}}},
    {"action": {"message": "hello"}},
    {"action": {"type": "call_tool", "tool_name": "x", "arguments": {"a": 1}}},
    {"action": "reset", "seed": 7},
    {"action": "state"},
]


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_that_are_nearly_right(seed: int) -> None:
    hostile = Hostile(Random(seed))
    for message in GOOD * 6:
        text = hostile.written(hostile.spoilt(message))
        for codec in SOCKETS:
            assert isinstance(played(codec, text), dict), text


@pytest.mark.parametrize("seed", SEEDS)
def test_anything(seed: int) -> None:
    hostile = Hostile(Random(seed))
    for _ in range(30):
        value, text = write(hostile.value()), hostile.text()
        for codec in SOCKETS:
            for frame in (value, '{"type":"step","data":' + value + "}", '{"action":' + value + "}", text, '{"action":' + text):
                assert isinstance(played(codec, frame), dict), frame


@pytest.mark.parametrize("seed", SEEDS)
def test_any_body_of_json_rpc(seed: int) -> None:
    rng = Random(seed)
    hostile = Hostile(rng)
    good = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x", "arguments": {"a": 1}, "session_id": "s"}}
    for _ in range(50):
        for body in (hostile.written(hostile.spoilt(good)).encode(), hostile.text().encode(), rng.randbytes(8)):
            call = RPC.decode(body)
            assert (call.operation is None) != (call.answer is None)
            answer = strict(RPC.encode(call, Result(value=[], session="s")))
            assert answer["jsonrpc"] == "2.0"
            assert ("result" in answer) != ("error" in answer)


SHAPES = [
    '{"type":"step","data":{"message":"x","unknown":%s}}',
    '{"type":"step","data":{"message":"x","anything":%s}}',
    '{"action":{"message":"x","unknown":%s}}',
    '{"type":%s}',
    '{"type":"reset","action":%s}',
    '{"type":"mcp","data":{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":%s}}}}',
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_every_depth_of_nesting(shape: str, opens: str, closes: str) -> None:
    for depth in [*range(1, 200, 20), *range(190, 270), *range(900, 1010, 3), 100_000]:
        for codec in SOCKETS:
            assert isinstance(played(codec, shape % (opens * depth + "1" + closes * depth)), dict)


def test_how_deep_a_document_may_be() -> None:
    assert loads("[" * 190 + "]" * 190)
    with pytest.raises(RecursionError):
        loads("[" * 250 + "]" * 250)
    flat = "[" + ",".join(["[{}]"] * 5000) + "]"
    assert len(loads(flat)) == 5000
    assert loads(json.dumps("[" * 1000)) == "[" * 1000


def test_messagepack_is_no_deeper_than_json() -> None:
    def nested(depth: int) -> bytes:
        return b"\x91" * depth + b"\x01"

    for depth in (1, 150, 200):
        assert unpack(nested(depth))
    for depth in (201, 300, 500):
        with pytest.raises(InvalidFrame, match="nested too deeply"):
            unpack(nested(depth))
        with pytest.raises(InvalidFrame, match="nested too deeply"):
            unpack(b"\x82\xa1a\x01\xa1b" + nested(depth))
    flat = b"\xdc\x10\x00" + b"\x91\x90" * 4096
    assert len(unpack(flat)) == 4096


@pytest.mark.parametrize("digits", [20, 400, 4000, 5000, 100_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_huge_numbers(shape: str, digits: int) -> None:
    for codec in SOCKETS:
        assert isinstance(played(codec, shape % ("9" * digits)), dict)
        assert isinstance(played(codec, shape % ("-1e" + "9" * digits)), dict)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '"\\ud800"', '"\\udc00\\ud800"', '{"\\ud800":1}'])
def test_what_json_does_not_have(shape: str, value: str) -> None:
    for codec in SOCKETS:
        assert isinstance(played(codec, shape % value), dict)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\U0001f600"', '"\\\\ud800"', '{"\\u00fc":"ü"}'])
def test_whole_characters_pass(text: str) -> None:
    assert loads(text) == json.loads(text)
