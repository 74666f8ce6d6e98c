"""Standard MCP over HTTP with a handshake, message by message, on real servers; and which protocol a request speaks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.mcp_wire import ACCEPT, MODERN, VERSION, Peer, answer_of, events, modern, until
from tests.support.processes import ROOT, Server, Servers

TOYS = "tests.support.mcp_toys"


# Which protocol a request speaks.


def test_a_request_without_a_sign_of_mcp_is_openenvs(http: httpx.Client) -> None:
    answer = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "look"}})
    assert answer.status_code == 200
    assert answer.json()["result"] == {
        "content": [{"type": "text", "text": "0", "annotations": None, "meta": None}],
        "structured_content": {"result": 0},
        "meta": None,
        "data": 0,
        "is_error": False,
    }


def test_words_of_mcp_in_arguments_do_not_make_a_request_standard(http: httpx.Client) -> None:
    params = {"name": "look", "arguments": {"_meta": {"io.modelcontextprotocol/protocolVersion": "x"}, "a": "initialize"}}
    answer = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert answer.status_code == 200
    assert answer.json()["error"]["data"]["code"] == "INVALID_ARGUMENTS"


def test_openenvs_protocol_takes_the_session_of_the_url(http: httpx.Client) -> None:
    session = http.post("/sessions").json()["session_id"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {"by": 2}}}
    answers = [http.post(f"/sessions/{session}/mcp", json=call).json() for _ in range(2)]
    assert [answer["result"]["data"] for answer in answers] == [{"count": 2}, {"count": 4}]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_headers_of_mcp_only_post_is_served(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/mcp")
    assert (answer.status_code, answer.headers["allow"], answer.json()) == (405, "POST", {"detail": "Method Not Allowed"})


def test_the_sdk_is_loaded_with_the_first_standard_request() -> None:
    code = (
        "import sys\nfrom fastapi.testclient import TestClient\nfrom tests.support.mcp_toys import bench_app\n"
        "with TestClient(bench_app) as client:\n"
        "    client.post('/mcp', json={'jsonrpc': '2.0', 'id': 1, 'method': 'tools/list'}).raise_for_status()\n"
        "    print([name for name in sys.modules if name.partition('.')[0] in ('mcp', 'mcp_types', 'fastmcp')])\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_the_sdk_the_answer_names_the_extra(serve: Servers, tmp_path: Path) -> None:
    absent = "raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')\n"
    for name in ("mcp", "mcp_types"):
        (tmp_path / f"{name}.py").write_text(absent)
    server = serve(f"{TOYS}:bench_app", cwd=ROOT, env={"PYTHONPATH": str(tmp_path)})
    with httpx.Client(base_url=server.url) as http:
        answer = Peer(http).initialize()
        assert answer.status == 501
        assert answer.last["id"] == 1
        assert 'pip install "openenv[mcp]"' in answer.error["data"]["hint"]
        listed = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).json()
        assert listed["result"]["tools"][0]["name"] == "look"


# Revisions with a handshake.


def test_what_a_tool_says_is_its_answer_whatever_its_code(named: Server) -> None:
    with httpx.Client(base_url=named.url) as http:
        peer = Peer(http)
        peer.initialize()
        result = peer.call("notes_add", {"text": "by nobody"}).result
        assert (result["isError"], result["structuredContent"]["code"]) == (True, "UNAUTHENTICATED")


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_a_handshake_opens_a_session_and_delete_closes_it(http: httpx.Client, version: str) -> None:
    peer = Peer(http, version=version)
    answer = peer.initialize()
    assert answer.result["protocolVersion"] == version
    assert answer.result["serverInfo"]["name"] == "bench"
    assert answer.result["capabilities"] == {"logging": {}, "tools": {"listChanged": True}}
    assert http.get(f"/sessions/{peer.session}").json()["kind"] == "free"
    assert peer.ask("ping").result == {}
    assert http.delete("/mcp", headers=peer.headers).status_code == 200
    assert http.get(f"/sessions/{peer.session}").status_code == 404
    gone = peer.ask("ping")
    assert gone.status == 404
    assert "closed by request" in gone.error["message"]


def test_an_unknown_revision_is_answered_with_the_newest_that_shakes_hands(http: httpx.Client) -> None:
    assert Peer(http, version="2031-01-01").initialize().result["protocolVersion"] == VERSION


def test_a_call_is_a_step(http: httpx.Client, peer: Peer) -> None:
    before = _steps(http)
    first, second = peer.call("add", {"by": 2}), peer.call("add", {"by": 98})
    assert first.result["content"] == [{"type": "text", "text": '{"count":2}'}]
    meta = first.result["_meta"]
    assert (meta["openenv/reward"], meta["openenv/done"], meta["openenv/session"]) == (0.5, False, peer.session)
    assert second.result["_meta"]["openenv/done"] is True
    assert peer.call("refuse").result["_meta"]["openenv/reward"] == 0.0
    state = http.get("/state", headers={"X-Session-ID": peer.session}).json()
    assert (state["step_count"], state["episode_id"]) == (3, meta["openenv/episode"])
    assert _steps(http) == before + 3


def _steps(http: httpx.Client) -> float:
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("openenv_steps_total"))


def test_tools_are_listed_with_what_is_known_of_them(peer: Peer) -> None:
    listed = {tool["name"]: tool for tool in peer.ask("tools/list").result["tools"]}
    assert listed["look"] == {
        "name": "look",
        "title": "Look at the count",
        "description": "How far the count is.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
        "outputSchema": {
            "type": "object",
            "properties": {"result": {"type": "integer"}},
            "required": ["result"],
            "x-fastmcp-wrap-result": True,
        },
        "annotations": {"readOnlyHint": True},
    }
    assert listed["place"]["outputSchema"]["required"] == ["row", "column"]
    assert listed["clear"]["annotations"] == {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}
    assert "outputSchema" not in listed["add"]


def test_content_is_structured_where_the_tool_says_how(peer: Peer) -> None:
    peer.call("add", {"by": 3})
    assert peer.call("look").result["structuredContent"] == {"result": 3}
    assert peer.call("place").result["structuredContent"] == {"row": 3, "column": 0}
    assert "structuredContent" not in peer.call("add", {"by": 1}).result
    shown = peer.call("picture").result
    assert [block["type"] for block in shown["content"]] == ["text", "image"]
    assert shown["structuredContent"] == {"seen": True}
    assert shown["_meta"]["kept"] == 1
    assert peer.call("clear").result["content"] == []


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (
            ("refuse", {}),
            {
                "code": "MONDAY",
                "message": "not on a Monday",
                "field": "day",
                "hint": "Come tomorrow.",
                "example": {"day": "Tuesday"},
            },
        ),
        (("add", {"by": "x"}), {"code": "INVALID_ARGUMENTS", "field": "by", "example": {"by": 1}}),
        (("add", {"by": 1, "to": 2}), {"code": "INVALID_ARGUMENTS", "field": "to", "hint": "Its arguments are: by."}),
        (("break_down", {}), {"code": "EXECUTION_ERROR", "message": "Error calling tool 'break_down': one by zero"}),
    ],
)
def test_a_tools_error_is_a_result_with_a_body(peer: Peer, call: tuple[str, dict[str, Any]], body: dict[str, Any]) -> None:
    result = peer.call(*call).result
    assert result["isError"] is True
    assert body.items() <= result["structuredContent"].items()
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]


def test_what_is_no_tools_answer_is_a_protocol_error(peer: Peer) -> None:
    unknown = peer.call("ad")
    assert (unknown.error["code"], unknown.error["data"]["code"]) == (-32602, "TOOL_NOT_FOUND")
    assert unknown.error["data"]["hint"] == "Did you mean add?"
    assert peer.ask("tools/call", {"arguments": {}}).error["code"] == -32602
    assert peer.ask("no/such").error["code"] == -32601
    assert peer.ask("resources/list").error["code"] == -32601


def test_notices_come_before_the_answer_in_order(peer: Peer) -> None:
    messages = peer.call("say", {"levels": ["info", "error"]}, _meta={"progressToken": "p"}).messages
    progress = [one["params"] for one in messages if one.get("method") == "notifications/progress"]
    logged = [one["params"] for one in messages if one.get("method") == "notifications/message"]
    assert [one["progress"] for one in progress] == [1, 2]
    assert {(one["progressToken"], one["total"]) for one in progress} == {("p", 2)}
    assert logged == [{"level": "info", "data": {"line": 1}}, {"level": "error", "data": {"line": 2}}]
    assert messages[-1]["result"]["content"][0]["text"] == "said"


def test_without_a_token_there_is_no_progress(peer: Peer) -> None:
    methods = [one.get("method") for one in peer.call("say", {"levels": ["info"]}).messages]
    assert methods == ["notifications/message", None]


def test_the_client_sets_the_level_of_the_log(peer: Peer) -> None:
    assert peer.ask("logging/setLevel", {"level": "warning"}).result == {}
    levels = ["debug", "notice", "warning", "emergency"]
    logged = [one["params"]["level"] for one in peer.call("say", {"levels": levels}).messages[:-1]]
    assert logged == ["warning", "emergency"]
    assert peer.ask("logging/setLevel", {"level": "loud"}).error["code"] == -32602


def test_cancelling_reaches_the_environment(peer: Peer) -> None:
    with _begun(peer, "slow") as stream:
        lines = stream.iter_lines()
        progress = next(json.loads(data) for _, data in events(lines) if data)
        assert progress["method"] == "notifications/progress"
        assert peer.tell("notifications/cancelled", {"requestId": "slow", "reason": "enough"}).status == 202
        (answer,) = [json.loads(data) for _, data in events(lines) if data]
        assert (answer["id"], answer["error"]["code"]) == ("slow", -32800)
    until(lambda: peer.call("was_taken_back").result["content"][0]["text"] == "true")


@contextmanager
def _begun(peer: Peer, tool: str) -> Iterator[httpx.Response]:
    """A call whose id is the tool's name, with its answer as it comes."""
    params = {"name": tool, "arguments": {}, "_meta": {"progressToken": "p"}}
    message = {"jsonrpc": "2.0", "id": tool, "method": "tools/call", "params": params}
    with peer.http.stream("POST", peer.path, json=message, headers={**ACCEPT, **peer.headers}) as stream:
        yield stream


def test_a_lost_stream_is_taken_up_where_it_broke_off(peer: Peer) -> None:
    with _begun(peer, "slow") as stream:
        last = next(event_id for event_id, data in events(stream.iter_lines()) if data)
        assert last is not None
    assert peer.tell("notifications/cancelled", {"requestId": "slow"}).status == 202
    headers = {**ACCEPT, **peer.headers, "Last-Event-ID": last}
    with peer.http.stream("GET", peer.path, headers=headers) as stream:
        messages = (json.loads(data) for _, data in events(stream.iter_lines()) if data)
        assert next(messages)["error"]["code"] == -32800
    until(lambda: peer.call("was_taken_back").result["content"][0]["text"] == "true")  # till then the session is busy


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "application/json"}, 406),
        ({"Accept": "text/event-stream"}, 406),
        ({"Content-Type": "text/plain"}, 400),
        ({"MCP-Protocol-Version": "1999-01-01"}, 400),
        ({"Mcp-Session-Id": "no-such-session"}, 404),
    ],
)
def test_headers_that_do_not_fit_are_refused(http: httpx.Client, peer: Peer, headers: dict[str, str], status: int) -> None:
    sessions = len(http.get("/sessions").json()["sessions"])
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = http.post("/mcp", json=message, headers={**ACCEPT, **peer.headers, **headers})
    assert answer.status_code == status
    assert len(http.get("/sessions").json()["sessions"]) == sessions


def test_an_unsupported_revision_is_told_which_there_are(http: httpx.Client) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2031-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    answer = modern(http, "tools/list", {"_meta": meta}, MCP_Protocol_Version="2031-01-01")
    assert (answer.status, answer.error["code"], answer.error["data"]["supported"]) == (400, -32022, [MODERN])


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_an_unknown_session_is_not_found(http: httpx.Client, method: str) -> None:
    headers = {**ACCEPT, "Mcp-Session-Id": "no-such-session", "MCP-Protocol-Version": VERSION}
    answer = http.request(method, "/mcp", headers=headers)
    assert answer.status_code == 404
    assert answer.json()["error"]["data"]["code"] == "SESSION_ERROR"


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_session_has_to_be_named(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/mcp", headers={**ACCEPT, "MCP-Protocol-Version": VERSION})
    assert answer.status_code == 400
    assert answer.json()["error"]["data"]["hint"].startswith("Send initialize first")


def test_batches_are_refused(http: httpx.Client, peer: Peer) -> None:
    batch = [{"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 2, "method": "ping"}]
    assert peer.send(batch).status == 400
    assert answer_of(http.post("/mcp", json=batch, headers={**ACCEPT, "MCP-Protocol-Version": MODERN})).status == 400


@pytest.mark.parametrize(
    "params", [{"protocolVersion": 7}, {"clientInfo": {}}, {"capabilities": []}, {"clientInfo": {"name": 1, "version": "1"}}]
)
def test_a_handshake_that_cannot_succeed_makes_no_session(http: httpx.Client, params: dict[str, Any]) -> None:
    before = http.get("/sessions").json()
    answer = Peer(http).initialize(**params)
    assert answer.status == 400
    assert answer.error["code"] == -32602
    assert http.get("/sessions").json() == before


def test_a_full_server_says_when_to_come_back(serve: Servers) -> None:
    server = serve(f"{TOYS}:full_app", cwd=ROOT)
    with httpx.Client(base_url=server.url) as http:
        assert Peer(http).initialize().status == 200
        refused = Peer(http).initialize()
        assert (refused.status, refused.error["data"]["code"]) == (503, "CAPACITY_REACHED")
        assert refused.response.headers["retry-after"] == "1"


def test_a_session_is_its_owners(serve: Servers) -> None:
    server = serve(f"{TOYS}:passport_app", cwd=ROOT)
    with httpx.Client(base_url=server.url) as http:
        assert Peer(http).initialize().status == 401
        anna = Peer(http, headers={"X-Passport": "anna"})
        assert anna.initialize().status == 200
        thief = Peer(http, headers=anna.headers | {"X-Passport": "gert"})
        assert thief.call("add", {"by": 1}).status == 404
        assert http.delete("/mcp", headers=thief.headers).status_code == 404
        assert modern(http, "tools/call", {"name": "look"}, f"/sessions/{anna.session}/mcp", X_Passport="gert").status == 404
        assert anna.call("look").result["structuredContent"] == {"result": 0}


def test_clients_may_share_a_session_by_its_url(http: httpx.Client) -> None:
    session = http.post("/sessions").json()["session_id"]
    first, second = (Peer(http, path=f"/sessions/{session}/mcp") for _ in range(2))
    for peer in (first, second):
        peer.initialize()
        peer.call("add", {"by": 5})
    assert first.session != second.session != session
    assert first.call("look").result["structuredContent"] == {"result": 10}
    stray = Peer(http, path=f"/sessions/{http.post('/sessions').json()['session_id']}/mcp", headers=dict(first.headers))
    assert stray.call("look").status == 404
    assert http.delete(first.path, headers=first.headers).status_code == 200
    assert http.get(f"/sessions/{session}").status_code == 200
    assert first.call("look").status == 404
    assert second.call("look").status == 200


def test_clients_of_one_session_are_bounded(http: httpx.Client) -> None:
    session = http.post("/sessions").json()["session_id"]
    peers = [Peer(http, headers={"X-Session-ID": session}) for _ in range(17)]
    assert [peer.initialize().status for peer in peers] == [200] * 16 + [503]


# A call is recorded like any other step.


def test_calls_are_graded_under_a_scenario(named: Server) -> None:
    verifier = {"verifier_type": "tool_calls", "name": "added", "validation_config": {"expected_tools": ["notes_add"]}}
    scenario = {"id": "note", "task": "Add a note.", "seed": 1, "verifiers": [verifier], "max_steps": 5}
    with httpx.Client(base_url=named.url) as http:
        peer = Peer(http, headers={"X-User": "anna"})
        peer.initialize()
        loaded = http.post(f"/sessions/{peer.session}/scenario", json=scenario)
        assert loaded.status_code == 200, loaded.text
        assert peer.call("notes_add", {"text": "call"}).result["_meta"]["openenv/reward"] == 0
        graded = http.post(f"/sessions/{peer.session}/verify", json={}).json()
        assert graded["episode"]["steps"] == 1
        assert [(event["tool"], event["success"]) for event in graded["events"]] == [("notes_add", True)]
