"""The bodies that the routes read are the models that OpenEnv 0.10's users import."""

from __future__ import annotations

from pydantic import BaseModel

from openenv.core.env_server import types
from openenv.protocol import bodies
from openenv.server import http, tasks


def test_a_body_is_described_once() -> None:
    assert types.ResetRequest is vars(http)["ResetRequest"] is bodies.ResetRequest
    assert types.StepRequest is vars(http)["StepRequest"] is bodies.StepRequest
    pairs: list[tuple[type[BaseModel], type[BaseModel]]] = [
        (types.ListTasksRequest, bodies.SplitRequest),
        (types.NumTasksRequest, bodies.SplitRequest),
        (types.GetTaskRequest, bodies.TaskRequest),
        (types.GetTaskRangeRequest, bodies.TaskRangeRequest),
    ]
    for model, read in pairs:
        assert vars(tasks)[read.__name__] is read
        assert issubclass(model, read)
        assert list(model.model_fields) == list(read.model_fields)
