"""Standard MCP over HTTP without a handshake, message by message, on real servers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.mcp_wire import ACCEPT, MODERN, Peer, answer_of, events, modern, until
from tests.support.processes import Server

TOYS = "tests.support.mcp_toys"


def test_discovery(http: httpx.Client) -> None:
    found = modern(http, "server/discover").result
    assert found["supportedVersions"] == [MODERN]
    assert found["capabilities"]["tools"] == {"listChanged": True}
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "bench"
    assert "mcp-session-id" not in modern(http, "server/discover").response.headers


def test_a_request_without_its_version_header_is_told_so(http: httpx.Client) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"_meta": meta}}
    answer = answer_of(http.post("/mcp", json=message, headers=ACCEPT))
    assert (answer.status, answer.last["id"], answer.error["code"]) == (400, 5, -32020)
    bare = answer_of(http.post("/mcp", json={"jsonrpc": "2.0", "id": 5, "method": "server/discover"}, headers=ACCEPT))
    assert (bare.status, bare.error["code"]) == (400, -32602)


def test_looking_needs_no_session_and_leaves_none(http: httpx.Client) -> None:
    before = http.get("/sessions").json()
    assert modern(http, "tools/call", {"name": "look", "arguments": {}}).result["structuredContent"] == {"result": 0}
    assert http.get("/sessions").json() == before


def test_changing_needs_a_session_and_the_answer_says_where(http: httpx.Client) -> None:
    answer = modern(http, "tools/call", {"name": "add", "arguments": {"by": 1}})
    assert answer.error["data"]["code"] == "SESSION_ERROR"
    assert "/sessions/{session_id}/mcp" in answer.error["message"]
    assert "session_id" in answer.error["data"]["hint"]


@pytest.mark.parametrize("by_url", [True, False])
def test_a_session_is_named_by_its_url_or_a_header(http: httpx.Client, by_url: bool) -> None:
    session = http.post("/sessions").json()["session_id"]
    named: dict[str, Any] = {"path": f"/sessions/{session}/mcp"} if by_url else {"X_Session_ID": session}
    for expected in (2, 4):
        result = modern(http, "tools/call", {"name": "add", "arguments": {"by": 2}}, **named).result
        assert result["content"][0]["text"] == f'{{"count":{expected}}}'
        assert result["_meta"]["openenv/reward"] == 0.5
    assert http.get("/state", headers={"X-Session-ID": session}).json()["step_count"] == 2


def test_a_session_that_is_none_is_not_found(http: httpx.Client) -> None:
    assert modern(http, "tools/list", path="/sessions/none/mcp").status == 404
    assert modern(http, "tools/list", X_Session_ID="none").status == 404


def test_a_session_is_named_by_its_worlds_key(named: Server) -> None:
    headers = {"X_Notebook": "work", "X_User": "anna"}
    with httpx.Client(base_url=named.url) as http:
        added = modern(http, "tools/call", {"name": "notes_add", "arguments": {"text": "call"}}, **headers)
        assert added.result["content"][0]["text"] == '{"id":2}'
        listed = modern(http, "tools/call", {"name": "notes_list", "arguments": {}}, **headers).result
        assert [note["author"] for note in json.loads(listed["content"][0]["text"])] == ["seed", "anna"]
        assert "work" in [session["world"] for session in http.get("/sessions").json()["sessions"]]


def test_log_lines_are_sent_to_those_who_asked_for_them(http: httpx.Client) -> None:
    call: dict[str, Any] = {"name": "say", "arguments": {"levels": ["info", "error"]}}
    assert len(modern(http, "tools/call", call).messages) == 1
    asked = modern(http, "tools/call", call | {"_meta": {"io.modelcontextprotocol/logLevel": "error", "progressToken": 1}})
    methods = [one.get("method") for one in asked.messages]
    assert methods == ["notifications/progress", "notifications/message", "notifications/progress", None]
    assert asked.messages[1]["params"]["level"] == "error"


def test_going_away_takes_the_call_back(http: httpx.Client) -> None:
    session = http.post("/sessions").json()["session_id"]
    path = f"/sessions/{session}/mcp"
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": 1,
    }
    params = {"name": "slow", "arguments": {}, "_meta": meta}
    headers = {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "slow"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    with http.stream("POST", path, json=message, headers=headers) as stream:
        assert next(json.loads(data) for _, data in events(stream.iter_lines()) if data)["params"]["progress"] == 0
    until(lambda: modern(http, "tools/call", {"name": "was_taken_back"}, path).result["content"][0]["text"] == "true")


def test_only_what_is_announced_is_promised(http: httpx.Client, peer: Peer) -> None:
    assert "resources" not in modern(http, "server/discover").result["capabilities"]
    assert modern(http, "resources/list").status == 404
    assert peer.ask("prompts/list").error["code"] == -32601


def test_how_long_the_list_of_tools_may_be_kept(http: httpx.Client, growing: Server) -> None:
    fixed = modern(http, "tools/list").result
    assert (fixed["ttlMs"], fixed["cacheScope"]) == (60_000, "private")
    with httpx.Client(base_url=growing.url) as other:
        assert modern(other, "tools/list").result["ttlMs"] == 0
