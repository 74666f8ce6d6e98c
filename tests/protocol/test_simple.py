"""The simple dialect on ``/ws``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openenv import Action, Observation
from openenv.errors import ToolFailed
from openenv.operation import Result
from openenv.protocol import SocketCodec
from openenv.types import State


class Say(Action):
    message: str


class Heard(Observation):
    text: str = ""


CODEC = SocketCodec(Say)


def answer(frame: str, result: Result) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(CODEC.encode(CODEC.decode(frame), result))
    return body


def refused(frame: str) -> dict[str, Any]:
    decoded = CODEC.decode(frame)
    assert decoded.operation.op == "invalid"
    body: dict[str, Any] = json.loads(CODEC.encode(decoded, Result(error=decoded.operation.payload)))
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize("frame", ['{"action": {"message": "hi"}}', ' { "action" : {"message":"hi"} }'])
def test_an_object_is_a_step(frame: str) -> None:
    operation = CODEC.decode(frame).operation
    assert (operation.op, operation.payload, operation.include) == ("step", Say(message="hi"), frozenset({"state"}))


def test_what_stands_beside_reset_are_its_arguments() -> None:
    operation = CODEC.decode('{"action":"reset","seed":3,"episode_id":"e","level":"hard"}').operation
    assert (operation.op, operation.arguments) == ("reset", {"seed": 3, "episode_id": "e", "level": "hard"})


def test_state_asks_for_the_last_observation_too() -> None:
    operation = CODEC.decode('{"action":"state"}').operation
    assert (operation.op, operation.include) == ("state", frozenset({"state", "observation"}))
    assert CODEC.decode('{"action":"close"}').operation.op == "close"


@pytest.mark.parametrize(
    ("frame", "result"),
    [
        ('{"action":"reset"}', Result(observation=Heard(text="x"), reward=1, done=True, state=State(step_count=4))),
        ('{"action":{"message":"m"}}', Result(observation=Heard(text="x"), reward=1, done=True, state=State(step_count=4))),
        ('{"action":"state"}', Result(observation=Heard(text="x"), reward=1, done=True, value=State(step_count=4))),
    ],
)
def test_an_answer_has_its_four_keys(frame: str, result: Result) -> None:
    assert answer(frame, result) == {
        "observation": {"metadata": {}, "text": "x"},
        "reward": 1,
        "done": True,
        "state": {"episode_id": None, "step_count": 4},
    }


def test_before_anything_was_observed_the_observation_is_null() -> None:
    body = answer('{"action":"state"}', Result(value=State()))
    assert body == {"observation": None, "reward": None, "done": False, "state": {"episode_id": None, "step_count": 0}}


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ('{"action":"explode"}', "UNKNOWN_TYPE", "action"),
        ('{"action":5}', "VALIDATION_ERROR", None),
        ('{"action":null}', "VALIDATION_ERROR", None),
        ('{"action":[]}', "VALIDATION_ERROR", None),
        ('{"action":{}}', "VALIDATION_ERROR", "message"),
        ('{"action":{"message":"m","x":1}}', "VALIDATION_ERROR", "x"),
        ('{"action":{"message":"m"},"x":1}', "VALIDATION_ERROR", "x"),
        ('{"action":"state","x":1}', "VALIDATION_ERROR", "x"),
        ('{"action":"close","x":1}', "VALIDATION_ERROR", "x"),
    ],
)
def test_refusals_say_which_field(frame: str, code: str, field: str | None) -> None:
    error = refused(frame)
    assert (error["code"], error.get("field")) == (code, field)


def test_an_error_has_code_message_field_and_hint() -> None:
    error = ToolFailed("no such room", code="NOT_FOUND", field="room", hint="Look at the plan.")
    body = answer('{"action":{"message":"m"}}', Result(error=error))
    assert body == {"error": {"message": "no such room", "code": "NOT_FOUND", "field": "room", "hint": "Look at the plan."}}
