"""Observations and states as OpenEnv 0.10 writes them: fields by their names, and Python's values in this process."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, Field

from openenv.core.env_server import (
    Action,
    Environment,
    Observation,
    State,
    create_app,
    deserialize_action_with_preprocessing,
    serialize_observation,
)


class Task(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    level: int = Field(default=3, alias="difficulty")


class Seen(Observation):
    day: date = date(2024, 2, 29)
    letters: set[str] = {"a"}


class Where(State):
    task: Task = Task()


class Aliased(Environment[Action, Seen, Where]):
    def reset(self, **kwargs: Any) -> Seen:
        return Seen(metadata={"task": Task()})

    def step(self, action: Action, **kwargs: Any) -> Seen:
        return Seen()

    @property
    def state(self) -> Where:
        return Where()

    def get_task(self, split: str, index: int) -> Task:
        return Task()


def test_a_serialized_observation_keeps_values_that_json_has_not() -> None:
    seen = Seen(reward=True, done=True, metadata={"day": date(2024, 1, 1)})
    assert serialize_observation(seen) == {
        "observation": {"metadata": {"day": date(2024, 1, 1)}, "day": date(2024, 2, 29), "letters": {"a"}},
        "reward": True,
        "done": True,
        "metadata": {"day": date(2024, 1, 1)},
    }


def test_frames_and_tasks_have_fields_by_their_names() -> None:
    with TestClient(create_app(Aliased, Action, Seen, env_name="aliased")) as client:
        with client.websocket_connect("/ws") as socket:
            socket.send_json({"type": "reset"})
            assert socket.receive_json()["data"]["metadata"] == {"task": {"level": 3}}
            socket.send_json({"type": "state"})
            assert socket.receive_json()["data"]["task"] == {"level": 3}
        answer = client.post("/aliased/task", json={"split": "train", "index": 0})
        assert answer.json() == {"task": {"level": 3}}
        # As FastAPI does, and so 0.10.
        assert client.get("/state").json()["task"] == {"difficulty": 3}


class Form(Action):
    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize(
    ("given", "read"), [("7", 7), (" -7 ", -7), ("--7", "--7"), ("²", "²"), ("7" * 5000, "7" * 5000), ("x", "x"), (7, 7)]
)
def test_a_form_s_number_is_one_or_stays_a_text(given: Any, read: Any) -> None:
    assert getattr(deserialize_action_with_preprocessing({"action_id": given}, Form), "action_id") == read  # noqa: B009


def test_a_form_s_tokens_are_numbers() -> None:
    tokens = getattr(deserialize_action_with_preprocessing({"tokens": "1, 2,²,x"}, Form), "tokens")  # noqa: B009
    assert list(tokens) == [1, 2]
