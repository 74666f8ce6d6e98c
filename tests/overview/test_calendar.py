"""The overview's blocks that concern the Calendar, against the server that it starts."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import ClientConnection, connect

from calendar_env.users import ALICE, BOB
from openenv_wrapper.client import MCPEnvClient
from openenv_wrapper.data_models import Action, MCPAction
from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e

HEADERS = {"x-access-token": ALICE.access_token}
TOOLS = ["calendars_list", "calendars_get", "events_list", "events_insert", "events_update", "acl_list", "acl_insert"]


def ask(socket: ClientConnection, frame: dict[str, Any]) -> dict[str, Any]:
    socket.send(json.dumps(frame))
    answer: dict[str, Any] = json.loads(socket.recv())
    return answer


def test_running_locally(calendar: Server) -> None:
    with httpx.Client(base_url=calendar.url) as curl:
        health = curl.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "healthy")
        docs = curl.get("/docs")
        assert (docs.status_code, docs.headers["content-type"].split(";")[0]) == (200, "text/html")
        assert "swagger" in docs.text
        assert {"/reset", "/step", "/state", "/mcp", "/health"} <= set(curl.get("/openapi.json").json()["paths"])


def test_the_tools_that_are_named(calendar: Server) -> None:
    with MCPEnvClient(base_url=calendar.url) as client:
        result = client.step(Action(action_type="ListToolsAction"))
        listed = result.observation.tools_list
        assert listed is not None
        assert set(TOOLS) <= {tool["name"] for tool in listed}
        assert len(listed) >= 25
        result = client.step(
            Action(
                action_type="ToolCallAction",
                tool_name="events_insert",
                arguments={
                    "calendarId": "primary",
                    "summary": "Team Standup",
                    "start": {"dateTime": "2026-01-10T09:00:00Z"},
                    "end": {"dateTime": "2026-01-10T09:30:00Z"},
                },
            )
        )
        assert result.observation.success
        assert result.observation.tool_result["summary"] == "Team Standup"


def test_the_connection_flow(calendar: Server) -> None:
    insert = {"summary": "Mine"}
    with httpx.Client(base_url=calendar.url) as http:
        before = sessions(http)
        with connect(f"{calendar.ws_url}/ws", additional_headers=HEADERS) as socket, neighbour(calendar) as other:
            response = ask(socket, {"action": "reset"})
            assert response["observation"]["success"] is True
            assert (response["reward"], response["done"]) == (0, False)
            response = ask(socket, {"action": {"type": "tool_call", "tool": "calendars_insert", "arguments": insert}})
            assert response["observation"]["tool_result"]["summary"] == "Mine"
            assert (response["reward"] >= 1, response["done"]) == (True, False)
            for mine, count in ((socket, 7), (other, 6)):
                response = ask(mine, {"action": {"type": "tool_call", "tool": "calendars_list"}})
                assert len(response["observation"]["tool_result"]["items"]) == count
            assert len(sessions(http) - before) == 2
        while sessions(http) - before:  # until both are cleaned up, or the test's time is over
            time.sleep(0.01)


def neighbour(server: Server) -> ClientConnection:
    return connect(f"{server.ws_url}/ws", additional_headers=HEADERS)


def sessions(http: httpx.Client) -> set[str]:
    return {session["session_id"] for session in http.get("/sessions").json()["sessions"]}


def test_the_message_format(calendar: Server) -> None:
    request = {"action": {"action_type": "ToolCallAction", "tool_name": "calendars_list", "arguments": {}}}
    with connect(f"{calendar.ws_url}/ws", additional_headers=HEADERS) as socket:
        ask(socket, {"action": "reset", "episode_id": "abc-123"})
        for _ in range(4):
            ask(socket, request)
        response = ask(socket, request)
    assert set(response) == {"observation", "reward", "done", "state"}
    observation, state = response["observation"], response["state"]
    assert (observation["success"], observation["error_message"]) == (True, None)
    assert len(observation["tool_result"]["items"]) == 6  # Google's object; the overview writes [...]
    assert (response["reward"], response["done"]) == (1.0, False)
    assert (state["episode_id"], state["step_count"]) == ("abc-123", 5)


def test_both_protocols(calendar: Server) -> None:
    action = MCPAction(action_type="ToolCallAction", tool_name="calendars_list", arguments={})
    with httpx.Client(base_url=calendar.url, headers=HEADERS) as http:
        stepped = http.post("/step", json=action.model_dump())
        assert stepped.status_code == 200
        assert {"observation", "reward", "done"} <= set(stepped.json())
        assert stepped.json()["observation"]["success"] is True
        listed = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).json()
        assert set(TOOLS) <= {tool["name"] for tool in listed["result"]["tools"]}
        params = {"name": "calendars_list", "arguments": {}}
        called = http.post("/mcp", json={"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}).json()
        assert (called["jsonrpc"], called["id"]) == ("2.0", 2)
        assert called["result"]["data"] == stepped.json()["observation"]["tool_result"]


def test_the_headers_say_who_acts_and_on_which_database(calendar: Server, calendar_data: Path) -> None:
    grant = {"calendarId": "bob-projects", "role": "writer", "scope": {"type": "user", "value": ALICE.email}}
    insert = {"action_type": "ToolCallAction", "tool_name": "acl_insert", "arguments": grant}
    look = {"action_type": "ToolCallAction", "tool_name": "calendars_get", "arguments": {"calendarId": "bob-projects"}}
    with httpx.Client(base_url=calendar.url) as http:

        def succeeds(action: dict[str, Any], token: str, database: str) -> bool:
            headers = {"x-access-token": token, "x-database-id": database}
            success: bool = http.post("/step", json=action, headers=headers).json()["observation"]["success"]
            return success

        assert not succeeds(look, ALICE.access_token, "agent-1")
        assert not succeeds(insert, ALICE.access_token, "agent-1")
        assert succeeds(insert, BOB.access_token, "agent-1")
        assert succeeds(look, ALICE.access_token, "agent-1")
        assert not succeeds(look, ALICE.access_token, "agent-2")
        assert http.post("/step", json=look, headers={"x-database-id": "agent-1"}).status_code == 401
    files = {path.name for path in calendar_data.glob("*/*.sqlite")}
    assert {"agent-1.sqlite", "agent-2.sqlite"} <= files


def test_basic_agent_interaction(calendar: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with MCPEnvClient(base_url=calendar.url) as client:
        result = client.reset()
        print(f"Reset successful: {result.observation.success}")  # noqa: T201
        result = client.step(MCPAction(action_type="ListToolsAction"))
        assert result.observation.tools_list is not None
        print(f"Available tools: {len(result.observation.tools_list)}")  # noqa: T201
        result = client.step(MCPAction(action_type="ToolCallAction", tool_name="calendars_list", arguments={}))
        calendars = result.observation.tool_result["items"]
        print(f"Alice has {len(calendars)} calendars")  # noqa: T201
        result = client.step(
            MCPAction(
                action_type="ToolCallAction",
                tool_name="events_insert",
                arguments={
                    "calendarId": "primary",
                    "summary": "AI Research Sync",
                    "start": {"dateTime": "2026-01-15T14:00:00Z"},
                    "end": {"dateTime": "2026-01-15T15:00:00Z"},
                },
            )
        )
        print(f"Event created: {result.observation.success}")  # noqa: T201
    printed = capsys.readouterr().out.splitlines()
    assert (printed[0], printed[2:]) == ("Reset successful: True", ["Alice has 6 calendars", "Event created: True"])
    found = re.fullmatch(r"Available tools: (\d+)", printed[1])
    assert found
    assert int(found[1]) >= 25


def test_example_metrics(serve: Servers) -> None:
    server = serve("main:app", uvicorn=True, cwd=ROOT / "envs" / "calendar_env")
    with connect(f"{server.ws_url}/ws", additional_headers=HEADERS) as socket:
        ask(socket, {"action": {"type": "tool_call", "tool": "calendars_list"}})
        assert ask(socket, {"action": {"type": "explode"}})["error"]["code"] == "VALIDATION_ERROR"
        text = httpx.get(f"{server.url}/metrics").text

    def sample(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(text)
        (found,) = [one for family in families for one in family.samples if (one.name, one.labels) == (name, labels)]
        return found.value

    assert sample("openenv_steps_total", env="calendar", status="success") == 1
    assert sample("openenv_step_duration_seconds", env="calendar", quantile="0.95") > 0
    assert sample("openenv_active_sessions", env="calendar") == 1
    assert sample("openenv_errors_total", env="calendar", type="validation") == 1
