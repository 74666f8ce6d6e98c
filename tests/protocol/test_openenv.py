"""OpenEnv's dialect on ``/ws``, frame by frame as OpenEnv 0.10 answers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import Field

from openenv import Action, Observation
from openenv.errors import CapacityReached, ExecutionFailed, FactoryFailed, OpenEnvError, SessionError
from openenv.operation import Result
from openenv.protocol import SocketCodec
from openenv.types import State


class Say(Action):
    message: str = Field(min_length=1)


class Heard(Observation):
    echoed: str = "ready"
    n: int = 0
    anything: Any = None


CODEC = SocketCodec(Say)
STEP = '{"type":"step","data":{"message":"hi"}}'


def answer(frame: str, result: Result) -> str:
    return CODEC.encode(CODEC.decode(frame), result).decode()


def refused(frame: str) -> dict[str, Any]:
    decoded = CODEC.decode(frame)
    assert decoded.operation.op == "invalid"
    body: dict[str, Any] = json.loads(CODEC.encode(decoded, Result(error=decoded.operation.payload)))
    assert body["type"] == "error"
    data: dict[str, Any] = body["data"]
    return data


def test_reset_with_and_without_data() -> None:
    bare = CODEC.decode('{"type":"reset"}').operation
    assert (bare.op, bare.arguments) == ("reset", {})
    full = CODEC.decode('{"type":"reset","data":{"seed":42,"episode_id":"ep-1","foo":1}}').operation
    assert full.arguments == {"seed": 42, "episode_id": "ep-1", "foo": 1}


@pytest.mark.parametrize("frame", [STEP, ' {"data" : {"message":"hi"}, "type":"step"} '])
def test_the_data_of_a_step_is_the_action(frame: str) -> None:
    operation = CODEC.decode(frame).operation
    assert operation.op == "step"
    assert operation.payload == Say(message="hi")
    assert not operation.include


ACTIONS = [
    '{"message":"hi"}',
    ' {"message" : "hi"}\n',
    '{"message":"hi","message":"ho"}',
    '{"message":"hi","metadata":{"a":[1,{"b":null}]}}',
    '{"message":"hi"},"data":{"message":"ho"}',
    '{"message":"hi"},"type":"reset"',
    '{"message":"hi"},"id":1',
    '{"message":"hi"}}',
    '{"message":"hi"',
    '{"message":"hi"},',
    '{"message":""}',
    '{"message":1}',
    '{"message":"h\ud800"}',
    '{"message":"hi","x":1}',
    '"hi"',
    "null",
    "",
    "}",
]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("opening", ['{"type":"step","data":', '{"type": "step", "data": ', '{"action":', '{"action": '])
@pytest.mark.parametrize("end", ["}", "]", "", "} ", "}}"])
def test_a_frame_that_begins_as_usual_means_what_it_means_to_a_parser(opening: str, action: str, end: str) -> None:
    usual, unusual = (CODEC.decode(space + opening + action + end) for space in ("", " "))
    known = [(frame.operation.op, frame.operation.include, frame.codec) for frame in (usual, unusual)]
    assert known[0] == known[1]
    if usual.operation.op == "invalid":
        assert _without_places(usual.operation.payload) == _without_places(unusual.operation.payload)
    else:
        assert usual.operation.payload == unusual.operation.payload


def _without_places(error: OpenEnvError) -> tuple[Any, ...]:
    """A parser counts the space that one of them begins with."""
    body = error.body()
    return body["code"], body["message"].partition(": ")[0], body.get("field"), body.get("errors")


def test_the_frames_that_0_10_sends() -> None:
    empty = Heard(n=922)
    assert answer('{"type":"reset"}', Result(observation=empty)) == (
        '{"type":"observation","data":{"observation":{"metadata":{},"echoed":"ready","n":922,"anything":null},'
        '"reward":null,"done":false}}'
    )
    noted = Heard(echoed="hi", n=1, metadata={"k": 1})
    assert answer(STEP, Result(observation=noted, reward=0.5, done=True)) == (
        '{"type":"observation","data":{"observation":{"metadata":{"k":1},"echoed":"hi","n":1,"anything":null},'
        '"reward":0.5,"done":true,"metadata":{"k":1}}}'
    )
    state = State(episode_id="auto", step_count=2)
    assert answer('{"type":"state"}', Result(value=state)) == '{"type":"state","data":{"episode_id":"auto","step_count":2}}'


def test_our_own_fields_never_show() -> None:
    over = Heard(terminated=True, truncated=True, stop_reason="max_steps")
    shown = json.loads(answer(STEP, Result(observation=over, done=True)))["data"]["observation"]
    assert set(shown) == {"metadata", "echoed", "n", "anything"}


@pytest.mark.parametrize(
    ("reward", "written"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (0.5, "0.5"),
        (-0.0, "-0.0"),
        (1e300, "1e+300"),
        (10**30, "1" + "0" * 30),
        (math.nan, "null"),
        (math.inf, "null"),
        (-math.inf, "null"),
    ],
)
def test_a_reward_keeps_its_type(reward: Any, written: str) -> None:
    assert f'"reward":{written},"done"' in answer(STEP, Result(observation=Heard(), reward=reward))


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": math.nan}])
def test_what_is_not_a_number_is_null_inside_an_observation(value: Any) -> None:
    text = answer(STEP, Result(observation=Heard(anything=value, metadata={"m": value})))
    assert "null" in json.dumps(json.loads(text, parse_constant=pytest.fail)["data"]["observation"]["anything"])


class Opaque:
    pass


def cycle() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


@pytest.mark.parametrize("value", [Opaque(), {"a": Opaque()}, "\ud800", b"\xff", cycle()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("where", ["anything", "metadata"])
@pytest.mark.parametrize("frame", [STEP, '{"action":{"message":"hi"}}'])
def test_what_json_cannot_say_is_the_environments_fault(value: Any, where: str, frame: str) -> None:
    known: dict[str, Any] = {"anything": value} if where == "anything" else {"metadata": {"a": value}}
    body = json.loads(answer(frame, Result(observation=Heard.model_validate(known))))
    error = body["error"] if "error" in body else body["data"]
    assert error["code"] == "EXECUTION_ERROR"


@pytest.mark.parametrize(
    ("frame", "kind", "place"),
    [
        ('{"type":"step","data":{}}', "missing", ["message"]),
        ('{"type":"step","data":{"message":"x","zzz":1}}', "extra_forbidden", ["zzz"]),
        ('{"type":"step","data":{"message":""}}', "string_too_short", ["message"]),
        ('{"type":"step"}', "missing", ["data"]),
        ('{"type":"mcp"}', "missing", ["data"]),
        ('{"type":"step","data":{"message":"hi"},"request_id":"r"}', "extra_forbidden", ["request_id"]),
        ('{"type":"state","data":{}}', "extra_forbidden", ["data"]),
        ('{"type":"close","data":{}}', "extra_forbidden", ["data"]),
        ('{"type":"reset","data":[]}', "dict_type", ["data"]),
        ('{"type":"reset","seed":1}', "extra_forbidden", ["seed"]),
    ],
)
def test_wrong_shapes(frame: str, kind: str, place: list[str]) -> None:
    data = refused(frame)
    assert (data["message"], data["code"]) == ("Invalid message", "VALIDATION_ERROR")
    assert (data["errors"][0]["type"], data["errors"][0]["loc"]) == (kind, place)
    assert data["field"] == ".".join(place)
    assert data["hint"].startswith(data["field"])


@pytest.mark.parametrize("frame", ["[]", "5", "null", '"text"', "true", "1.5"])
def test_a_frame_is_an_object(frame: str) -> None:
    data = refused(frame)
    assert data["code"] == "VALIDATION_ERROR"
    assert data["errors"]
    assert data["example"] == {"type": "reset", "data": {}}


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        ('{"type":"frobnicate"}', "frobnicate"),
        ("{}", ""),
        ('{"type":null}', "None"),
        ('{"type":"ping"}', "ping"),
        ('{"type":["step"]}', "['step']"),
    ],
)
def test_unknown_types(frame: str, named: str) -> None:
    data = refused(frame)
    assert (data["code"], data["message"]) == ("UNKNOWN_TYPE", f"Unknown message type: {named}")


def test_broken_json_tells_where() -> None:
    data = refused("not json")
    assert data["code"] == "INVALID_JSON"
    assert data["message"] == "Invalid JSON: Expecting value: line 1 column 1 (char 0)"


@pytest.mark.parametrize("frame", ['{"type":"step","action":{"message":"x"}}', '{"action":"reset","type":"reset"}'])
def test_two_dialects_in_one_frame_are_refused(frame: str) -> None:
    decoded = CODEC.decode(frame)
    body = json.loads(CODEC.encode(decoded, Result(error=decoded.operation.payload)))
    assert body["error"]["code"] == "VALIDATION_ERROR"
    assert "not both" in body["error"]["message"]


@pytest.mark.parametrize(
    ("error", "data"),
    [
        (ExecutionFailed("'env boom'"), {"message": "'env boom'", "code": "EXECUTION_ERROR"}),
        (SessionError("Unknown session_id: nope"), {"message": "Unknown session_id: nope", "code": "SESSION_ERROR"}),
        (
            CapacityReached("full", details={"active_sessions": 2, "max_sessions": 2}),
            {"message": "full", "code": "CAPACITY_REACHED", "active_sessions": 2, "max_sessions": 2},
        ),
        (
            FactoryFailed("no", details={"factory_name": "EEnv"}),
            {"message": "no", "code": "FACTORY_ERROR", "factory_name": "EEnv"},
        ),
    ],
)
def test_error_frames(error: OpenEnvError, data: dict[str, Any]) -> None:
    assert json.loads(answer(STEP, Result(error=error))) == {"type": "error", "data": data}


def test_an_error_that_json_cannot_say_keeps_its_words() -> None:
    error = ExecutionFailed("half \ud800 of it", hint="look", example=Opaque(), details={"x": Opaque()})
    data = json.loads(answer(STEP, Result(error=error)))["data"]
    assert data == {"message": "half ? of it", "code": "EXECUTION_ERROR", "hint": "look"}


@pytest.mark.parametrize(
    ("inner", "written"),
    [
        (
            '{"jsonrpc":"2.0","method":"ping","id":1}',
            '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found: ping","data":null}}',
        ),
        (
            '{"jsonrpc":"2.0","method":"tools/call","id":6}',
            '{"jsonrpc":"2.0","id":6,"error":{"code":-32602,"message":"Missing \'name\' in params","data":null}}',
        ),
    ],
)
def test_json_rpc_inside_a_frame_is_answered_inside_a_frame(inner: str, written: str) -> None:
    head = '{"type":"mcp","data":'
    assert answer(head + inner + "}", Result()) == head + written + "}"


def test_an_invalid_request_inside_a_frame_is_no_error_frame() -> None:
    body = json.loads(answer('{"type":"mcp","data":{}}', Result()))
    assert body["type"] == "mcp"
    assert body["data"]["error"]["code"] == -32600
