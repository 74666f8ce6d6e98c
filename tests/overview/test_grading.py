"""The overview's reward functions and verifiers, over real sessions of the Calendar."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from calendar_env.users import ALICE, BOB, DAVE
from openenv_wrapper.client import MCPEnvClient
from openenv_wrapper.data_models import MCPAction
from tests.overview.conftest import SNIPPETS
from tests.overview.snippets import rewards
from tests.support.processes import Server, Servers

pytestmark = pytest.mark.e2e

GRANT = {"calendarId": "bob-projects", "role": "writer", "scope": {"type": "user", "value": ALICE.email}}

BRIEF_VERIFIER = {
    "verifier_type": "database_state",
    "validation_config": {
        "query": """
            SELECT COUNT(*) FROM acls
            WHERE calendar_id='bob-projects'
            AND user_id='alice_manager'
            AND role IN ('writer', 'owner')
        """,
        "expected_value": 1,
        "comparison_type": "equals",
    },
}
FULL_VERIFIER = {
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


def call(tool: str, **arguments: Any) -> MCPAction:
    return MCPAction(action_type="ToolCallAction", tool_name=tool, arguments=arguments)


def test_the_built_in_reward_components(calendar: Server) -> None:
    patch = {"calendarId": "bob-team", "ruleId": f"user:{BOB.email}"}
    actions = [
        MCPAction(action_type="ListToolsAction"),
        call("calendars_list"),
        call("acl_insert", **GRANT),
        call("acl_patch", **{**GRANT, "ruleId": f"user:{ALICE.email}", "role": "reader"}),
        call("acl_insert", **{**GRANT, "role": "nobody"}),
        call("events_get", calendarId="primary", eventId="missing"),
        call("acl_patch", **patch),
    ]
    with MCPEnvClient(base_url=calendar.url, access_token=BOB.access_token) as client:
        client.reset()
        results = [client.step(action) for action in actions]
    assert [result.observation.success for result in results] == [True, True, True, True, False, False, False]
    own = [rewards.calculate_reward(result.observation) for result in results]
    assert own == pytest.approx([1.2, 1.2, 1.1, 1.3, -0.6, -0.5, -0.4])
    assert own == pytest.approx([result.reward for result in results])


def test_a_custom_reward_function(module_serve: Servers) -> None:
    server = module_serve("rewards:app", uvicorn=True, cwd=SNIPPETS)
    with MCPEnvClient(base_url=server.url, access_token=BOB.access_token) as client:
        client.reset()
        assert client.step(call("calendars_list")).reward == 0.0
        assert client.step(call("acl_patch", **{**GRANT, "ruleId": f"user:{DAVE.email}"})).reward == 0.5
        assert client.step(call("acl_insert", **GRANT)).reward == -0.5
        client.reset()
        assert client.step(call("acl_list", calendarId="bob-projects")).reward == 0.5


@pytest.mark.parametrize("verifier", [BRIEF_VERIFIER, FULL_VERIFIER], ids=["measurable outcomes", "verifier structure"])
def test_a_verifier(calendar: Server, verifier: dict[str, Any]) -> None:
    with httpx.Client(base_url=calendar.url, headers={"x-access-token": BOB.access_token}) as http:
        session = http.post("/sessions").json()["session_id"]
        http.headers["x-session-id"] = session
        http.post("/reset").raise_for_status()

        def verdict() -> dict[str, Any]:
            graded = http.post(f"/sessions/{session}/verify", json={"verifiers": [verifier]})
            assert graded.status_code == 200, graded.text
            (found,) = graded.json()["verdicts"]
            return {name: found[name] for name in ("passed", "actual", "expected", "verifier_type", "error")}

        expected = {"expected": 1, "verifier_type": "database_state", "error": None}
        assert verdict() == {"passed": False, "actual": 0, **expected}
        http.post("/step", json=call("acl_insert", **GRANT).model_dump()).raise_for_status()
        assert verdict() == {"passed": True, "actual": 1, **expected}
        http.delete(f"/sessions/{session}").raise_for_status()
