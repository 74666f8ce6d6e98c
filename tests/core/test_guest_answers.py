"""What a guest's answers and failures become, and what its server tells of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from openenv.core.env_server import Action, Environment, HTTPEnvServer, Observation, State, create_app
from openenv.core.env_server.guest import Guest
from openenv.core.env_server.mcp_types import CallToolObservation, ToolError, ToolErrorType
from openenv.core.env_server.types import EnvironmentMetadata
from openenv.errors import CapacityReached, OpenEnvError, SessionError
from openenv.types import CallToolAction


class Odd(BaseModel):
    """An observation of nobody's family."""

    done: bool = False
    reward: float | None = 0.5
    metadata: dict[str, Any] = {}
    text: str = "odd"


class Strange(Environment[Action, Any, State]):
    def __init__(self) -> None:
        super().__init__()
        self.made_at = "instance"

    def reset(self, **kwargs: Any) -> Any:
        return Odd()

    def step(self, action: Action, **kwargs: Any) -> Any:
        raise SessionError("the environment's own session, not the client's")

    @property
    def state(self) -> State:
        return State()

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(name="strange", description=f"said by an {self.made_at}")


def test_answers_and_failures_over_a_socket() -> None:
    with TestClient(create_app(Strange, Action, Observation)) as client, client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset"})
        reset = socket.receive_json()["data"]
        assert (reset["observation"]["text"], reset["reward"]) == ("odd", 0.5)
        socket.send_json({"type": "step", "data": {}})
        failed = socket.receive_json()["data"]
        assert failed["code"] == "EXECUTION_ERROR", "what an environment raises is never the engine's error"


def test_one_instance_is_asked_what_it_is_and_no_other() -> None:
    made: list[Strange] = []

    class Counted(Strange):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            if len(made) == 1:
                raise KeyError("the first cannot be made")

    with TestClient(create_app(Counted, Action, Observation)) as client:
        assert client.get("/metadata").status_code == 500
        told = [client.get("/metadata").json() for _ in range(3)]
        assert [one["description"] for one in told] == ["said by an instance"] * 3
    assert len(made) == 2, "a failure is not remembered, an answer is"


def test_an_instance_says_what_it_is() -> None:
    with TestClient(create_app(Strange, Action, Observation)) as client:
        assert client.get("/metadata").json()["description"] == "said by an instance"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ToolErrorType.TOOL_NOT_FOUND, "TOOL_NOT_FOUND"),
        (ToolErrorType.INVALID_ARGS, "INVALID_ARGUMENTS"),
        (ToolErrorType.TIMEOUT, "TOOL_TIMEOUT"),
        (ToolErrorType.EXECUTION_ERROR, "EXECUTION_ERROR"),
        (ToolErrorType.TRANSPORT_ERROR, "EXECUTION_ERROR"),
    ],
)
def test_each_kind_of_tool_error_has_its_code(kind: ToolErrorType, code: str) -> None:
    seen = CallToolObservation(tool_name="add", error=ToolError(error_type=kind, message="no"))
    outcome = Guest().outcome_of(CallToolAction(tool_name="add"), seen)
    assert outcome is not None
    assert isinstance(outcome.error, OpenEnvError)
    assert (outcome.error.code, outcome.error.message) == (code, "no")


def test_a_session_that_does_nothing_was_active_when_it_last_did_something() -> None:
    app = FastAPI()
    server = HTTPEnvServer(Strange, Action, Observation)
    server.register_routes(app)
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        socket.send_json({"type": "reset"})
        socket.receive_json()
        assert server.active_sessions == 1
        (session_id,) = app.state.openenv.manager.sessions
        before = time.time()
        time.sleep(0.05)
        info = server.get_session_info(session_id)
        assert info is not None
        assert info.created_at <= info.last_activity_at <= before


class Borrowing(Strange):
    """Raises this project's errors wherever it can."""

    @property
    def state(self) -> State:
        raise CapacityReached("the database is full")

    def list_splits(self) -> list[str]:
        raise CapacityReached("the database is full")


class BorrowingLater(Borrowing):
    async def list_splits(self) -> list[str]:  # type: ignore[override]
        raise CapacityReached("the database is full")


class BorrowingFirst(Strange):
    def __init__(self) -> None:
        raise CapacityReached("the database is full")


@pytest.mark.parametrize("environment", [Borrowing, BorrowingLater])
def test_this_project_s_errors_are_the_guest_s_own(environment: Any) -> None:
    with TestClient(create_app(environment, Action, Observation, env_name="borrowing")) as client:
        for path in ("/state", "/borrowing/splits"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "EXECUTION_ERROR")


def test_a_factory_s_error_is_a_factory_s_error() -> None:
    with TestClient(create_app(BorrowingFirst, Action, Observation)) as client:
        answer = client.post("/reset", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "FACTORY_ERROR")
