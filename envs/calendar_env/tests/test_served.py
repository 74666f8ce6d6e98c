"""The gym as it is used: a real server in the environment's own folder, and the documented snippets against it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from calendar_env.rewards import minimal_acl_changes_reward
from calendar_env.users import ALICE, BOB, DAVE
from openenv.client import EnvClient, HttpSession
from openenv.errors import ServerError
from openenv_wrapper.client import MCPEnvClient
from openenv_wrapper.data_models import Action, MCPAction, MCPObservation

FOLDER = Path(__file__).parents[1]


class Server(Protocol):
    """A running server."""

    url: str


@pytest.fixture(scope="module")
def server(module_serve: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """``uvicorn main:app --reload`` in the environment's folder."""
    data = tmp_path_factory.mktemp("databases")
    return module_serve("main:app", "--reload", uvicorn=True, cwd=FOLDER, env={"OPENENV_CALENDAR_DATA": str(data)})


def post(url: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})})
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_basic_agent_interaction(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with MCPEnvClient(base_url=server.url) as client:
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
    assert capsys.readouterr().out.splitlines() == [
        "Reset successful: True",
        "Available tools: 32",
        "Alice has 6 calendars",
        "Event created: True",
    ]


def test_discovering_and_calling_tools(server: Server) -> None:
    with MCPEnvClient(base_url=server.url) as client:
        client.reset(seed=1)
        result = client.step(Action(action_type="ListToolsAction"))
        names = [tool["name"] for tool in result.observation.tools_list or ()]
        known = {"calendars_list", "calendars_get", "events_list", "events_insert", "events_update", "acl_list", "acl_insert"}
        assert known <= set(names)
        assert len(names) >= 25
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
        assert isinstance(result.observation, MCPObservation)
        assert (result.observation.success, result.reward) == (True, 1.1)
        state = client.state()
        assert (state.step_count, state.current_time) == (2, "2026-01-05T09:00:01Z")


def test_a_session_acts_as_the_user_of_its_token(server: Server) -> None:
    with MCPEnvClient(base_url=server.url, access_token=BOB.access_token) as client:
        client.reset()
        seen = client.step(Action(action_type="ToolCallAction", tool_name="calendars_get", arguments={"calendarId": "primary"}))
        assert seen.observation.tool_result["id"] == "bob-primary"


def test_a_socket_without_a_token_lists_tools_and_nothing_else(server: Server) -> None:
    with EnvClient(server.url) as client:
        listed = client.step({"action_type": "ListToolsAction"})
        assert len(listed.observation["tools_list"]) == 32
        with pytest.raises(ServerError) as error:
            client.step({"type": "tool_call", "tool": "calendars_list"})
        assert error.value.code == "UNAUTHENTICATED"
        with pytest.raises(ServerError) as error:
            client.reset()
        assert error.value.code == "UNAUTHENTICATED"
        assert client.step({"type": "list_tools"}).observation["success"]


def test_over_http(server: Server) -> None:
    step = f"{server.url}/step"
    alice = {"x-access-token": ALICE.access_token}
    call = {"action_type": "ToolCallAction", "tool_name": "calendars_list", "arguments": {}}
    status, answer = post(step, call, alice)
    assert (status, answer["observation"]["success"], answer["reward"], answer["done"]) == (200, True, 1.2, False)
    assert post(step, {"action": call}, alice)[1]["observation"]["tool_result"]["items"]
    assert post(step, call)[0] == 401
    assert post(step, call, {"x-access-token": "nobody"})[1]["error"]["code"] == "UNAUTHENTICATED"
    for name in ("../x", "a/b", "x" * 65, "a.b"):
        status, answer = post(step, call, {**alice, "x-database-id": name})
        assert (status, answer["error"]["code"]) == (422, "VALIDATION_ERROR")


def test_requests_with_one_database_id_share_a_world(server: Server) -> None:
    step = f"{server.url}/step"
    insert = {"type": "tool_call", "tool": "calendars_insert", "arguments": {"summary": "Shared"}}
    _, made = post(step, insert, {"x-access-token": ALICE.access_token, "x-database-id": "shared-1"})
    made_id = made["observation"]["tool_result"]["id"]
    grant = {
        "type": "tool_call",
        "tool": "acl_insert",
        "arguments": {"calendarId": made_id, "role": "reader", "scope": {"type": "user", "value": DAVE.email}},
    }
    post(step, grant, {"x-access-token": ALICE.access_token, "x-database-id": "shared-1"})
    look = {"type": "tool_call", "tool": "calendars_get", "arguments": {"calendarId": made_id}}
    for database, found in (("shared-1", True), ("shared-2", False)):
        _, seen = post(step, look, {"x-access-token": DAVE.access_token, "x-database-id": database})
        assert seen["observation"]["success"] is found


def test_over_json_rpc(server: Server) -> None:
    def rpc(method: str, params: Any = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        return post(f"{server.url}/mcp", body, sent)

    status, listed = rpc("tools/list")
    assert (status, len(listed["result"]["tools"])) == (200, 32)
    assert len(json.dumps(listed, separators=(",", ":"))) < 40_000
    headers = {"x_access_token": ALICE.access_token, "x_database_id": "rpc-1"}
    call = {"name": "events_insert", "arguments": {"calendarId": "primary", "summary": "x"}}
    _, refused = rpc("tools/call", call, **headers)
    data = refused["error"]["data"]
    assert (refused["error"]["code"], data["code"], data["field"]) == (-32602, "INVALID_ARGUMENTS", "start")
    _, answer = rpc("tools/call", {"name": "colors_get", "arguments": {}}, **headers)
    assert answer["result"]["is_error"] is False
    status, nobody = rpc("tools/call", {"name": "colors_get", "arguments": {}}, x_database_id="rpc-1")
    assert (status, nobody["error"]["data"]["code"]) == (200, "UNAUTHENTICATED")


ACCESS_VERIFIER = {
    "verifier_type": "database_state",
    "name": "Alice_Has_Writer_Access",
    "description": "Alice must have writer or owner role on Bob's project calendar",
    "validation_config": {
        "query": """
            SELECT COUNT(*) AS count
            FROM acls
            WHERE calendar_id='bob-projects'
            AND user_id='alice_manager'
            AND role IN ('writer', 'owner')
        """,
        "expected_value": 1,
        "comparison_type": "equals",
    },
}


@pytest.mark.parametrize(("also", "passed"), [(None, True), ("bob-development", False)])
async def test_the_access_verifier_decides_and_collateral_damage_fails(server: Server, also: str | None, passed: bool) -> None:
    scenario = {
        "id": "grant-alice",
        "task": "Grant Alice writer access to bob-projects",
        "verifiers": [ACCESS_VERIFIER],
        "allowed_changes": [{"table": "acls", "where": {"calendar_id": "bob-projects", "user_id": "alice_manager"}}],
        "ignored_changes": ["world.*", "outbox.*"],
    }
    session = await HttpSession.create(server.url, headers={"x-access-token": BOB.access_token})
    try:
        await session.load_scenario(scenario)
        assert (await session.verify())["passed"] is False
        for calendar in filter(None, ("bob-projects", also)):
            grant = {"calendarId": calendar, "role": "writer", "scope": {"type": "user", "value": ALICE.email}}
            result = await session.step({"action_type": "ToolCallAction", "tool_name": "acl_insert", "arguments": grant})
            assert result.observation["success"]
        verdict = await session.verify()
        assert (verdict["passed"], verdict["reward"]) == (passed, float(passed))
        counted = await session.sql("SELECT role FROM acls WHERE calendar_id = 'bob-projects' AND user_id = 'alice_manager'")
        assert counted["rows"] == [["writer"]]
    finally:
        await session.close()


async def test_a_hundred_sessions_see_their_own_data_only(server: Server) -> None:
    async def play(number: int) -> list[str]:
        async with MCPEnvClient(server.url, database_id=f"many-{number}") as client:
            await client.reset(seed=number)
            arguments = {
                "calendarId": "primary",
                "summary": f"Separate {number}",
                "start": {"date": "2026-03-01"},
                "end": {"date": "2026-03-02"},
            }
            await client.step(MCPAction(action_type="ToolCallAction", tool_name="events_insert", arguments=arguments))
            asked = {"calendarId": "primary", "q": "separate"}
            seen = await client.step(MCPAction(action_type="ToolCallAction", tool_name="events_list", arguments=asked))
            return [event["summary"] for event in seen.observation.tool_result["items"]]

    found = await asyncio.gather(*(play(number) for number in range(100)))
    assert found == [[f"Separate {number}"] for number in range(100)]


async def test_ten_sessions_on_one_database_see_each_others_data(server: Server) -> None:
    clients = [MCPEnvClient(server.url, database_id="together") for _ in range(10)]
    try:
        await clients[0].reset()
        for number, client in enumerate(clients):
            arguments = {"summary": f"Calendar {number}"}
            await client.step(MCPAction(action_type="ToolCallAction", tool_name="calendars_insert", arguments=arguments))
        for client in clients:
            seen = await client.step(MCPAction(action_type="ToolCallAction", tool_name="calendars_list"))
            assert len(seen.observation.tool_result["items"]) == 16
    finally:
        for client in clients:
            await client.close()


def test_an_application_with_another_reward(module_serve: Callable[..., Server], tmp_path: Path) -> None:
    assert minimal_acl_changes_reward.__name__ == "minimal_acl_changes_reward"
    (tmp_path / "rewarding.py").write_text(
        "from calendar_env.rewards import minimal_acl_changes_reward\n"
        "from calendar_env.server.app import create_calendar_app\n"
        "app = create_calendar_app(reward=minimal_acl_changes_reward)\n"
    )
    other = module_serve("rewarding:app", uvicorn=True, cwd=tmp_path)
    with MCPEnvClient(other.url, access_token=BOB.access_token) as client:
        client.reset()
        grant = {"calendarId": "bob-projects", "role": "writer", "scope": {"type": "user", "value": ALICE.email}}
        assert client.step(MCPAction(action_type="ToolCallAction", tool_name="acl_insert", arguments=grant)).reward == -0.5


def test_nothing_asks_an_index_for_openenv() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert project["tool"]["uv"]["sources"]["openenv"] == {"path": "../..", "editable": True}
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["-e ../..", "-e ."]


def test_the_client_does_not_load_the_server() -> None:
    program = (
        "import sys, openenv_wrapper.client; "
        "print([name for name in ('fastapi', 'uvicorn', 'calendar_env.environment', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == "[]"
