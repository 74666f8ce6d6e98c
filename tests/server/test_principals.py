"""Who may do what, with a middleware that sets principals by a header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from tests.support.processes import ROOT, Server, Servers

SCENARIO = {
    "id": "x",
    "task": "Write 'call mum'.",
    "verifiers": [
        {
            "verifier_type": "database_state",
            "validation_config": {"query": "SELECT COUNT(*) FROM notes WHERE text = 'call mum'", "expected_value": 1},
        }
    ],
}


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:guarded_app", cwd=ROOT)


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def as_(name: str, **more: str) -> dict[str, str]:
    return {"x-passport": name, "x-user": name, **more}


def opened(http: httpx.Client, name: str) -> str:
    made: str = http.post("/sessions", headers=as_(name)).json()["session_id"]
    return made


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/reset"), ("POST", "/step"), ("GET", "/state"), ("POST", "/sessions"), ("GET", "/sessions"), ("POST", "/mcp")],
)
def test_without_a_passport_nobody_comes_in_before_a_body_is_parsed(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path, content=b"{not json")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


async def test_on_a_socket_the_refusal_is_an_error_frame_and_a_normal_close(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws") as socket:
        assert json.loads(await socket.recv())["data"]["code"] == "UNAUTHENTICATED"
        with pytest.raises(ConnectionClosedOK):
            await socket.recv()
    async with connect(f"{server.ws_url}/mcp", additional_headers={"x-passport": "stranger"}) as socket:
        assert json.loads(await socket.recv())["error"]["data"]["code"] == "FORBIDDEN"


def grading(http: httpx.Client, session: str, headers: dict[str, str]) -> list[httpx.Response]:
    return [
        http.post(f"/sessions/{session}/scenario", json=SCENARIO, headers=headers),
        http.post(f"/sessions/{session}/verify", json={}, headers=headers),
        http.post(f"/sessions/{session}/sql", json={"query": "SELECT text FROM notes"}, headers=headers),
        http.get(f"/sessions/{session}/database", headers=headers),
    ]


def test_grading_needs_the_scope_grade(http: httpx.Client) -> None:
    session = opened(http, "anna")
    assert http.post("/reset", headers=as_("anna", **{"x-session-id": session})).status_code == 200
    for answer in grading(http, session, as_("anna")):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "FORBIDDEN"
        assert "grade" in answer.json()["error"]["message"]
    mine = opened(http, "gert")
    assert [answer.status_code for answer in grading(http, mine, as_("gert"))] == [200] * 4
    assert http.get(f"/sessions/{mine}/database", headers=as_("gert")).content.startswith(b"SQLite format 3\x00")


def test_an_agent_bound_to_a_session_acts_there_and_does_nothing_else(http: httpx.Client) -> None:
    session, other = opened(http, "gert"), opened(http, "gert")
    assert http.post(f"/sessions/{session}/scenario", json=SCENARIO, headers=as_("gert")).status_code == 200
    agent = {"x-passport": f"session {session}", "x-user": "anna"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_add", "arguments": {"text": "call mum"}}}
    call["params"] |= {"session_id": session}  # type: ignore[operator]
    assert http.post("/mcp", json=call, headers=agent).json()["result"]["data"] == {"id": 2}
    assert {answer.status_code for answer in grading(http, session, agent)} == {403}
    assert http.get("/state", headers=agent | {"x-session-id": other}).status_code == 404
    assert http.post("/sessions", headers=agent).status_code == 403
    assert http.delete(f"/sessions/{session}", headers=agent).status_code == 403
    assert http.post(f"/sessions/{session}/verify", json={}, headers=as_("gert")).json()["passed"] is True


def test_somebody_elses_session_looks_as_if_there_were_none(http: httpx.Client) -> None:
    session = opened(http, "gert")
    stolen = http.get(f"/sessions/{session}", headers=as_("anna"))
    missing = http.get("/sessions/nothing", headers=as_("anna"))
    assert (stolen.status_code, missing.status_code) == (404, 404)
    assert stolen.text.replace(session, "nothing") == missing.text
    assert session not in http.get("/sessions", headers=as_("anna")).text
    assert session in http.get("/sessions", headers=as_("gert")).text


def test_a_named_world_is_its_owners(http: httpx.Client) -> None:
    def notes(name: str) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_list", "arguments": {}}}
        return http.post("/mcp", json=request, headers=as_(name, **{"x-notebook": "ours"})).json()

    assert notes("gert")["result"]["data"][0]["text"] == "buy milk"
    assert notes("anna")["error"]["data"]["code"] == "FORBIDDEN"
    assert notes("zoe")["result"]["data"][0]["text"] == "buy milk"
