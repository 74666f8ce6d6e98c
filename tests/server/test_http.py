"""The HTTP routes and ``POST /mcp``, over real sockets."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.processes import ROOT, Server, Servers

QUERY = "SELECT COUNT(*) FROM notes WHERE text = 'call mum'"
VERIFIER = {"verifier_type": "database_state", "validation_config": {"query": QUERY, "expected_value": 1}}
SCENARIO = {"id": "mum", "task": "Write 'call mum'.", "seed": 7, "max_steps": 3, "verifiers": [VERIFIER]}


@pytest.fixture(scope="module")
def notes(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:notes_app", cwd=ROOT)


@pytest.fixture(scope="module")
def talker(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:talker_app", cwd=ROOT)


@pytest.fixture
def http(notes: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=notes.url, headers={"x-user": "anna"}) as client:
        yield client


@pytest.fixture
def talk(talker: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=talker.url) as client:
        yield client


@pytest.fixture
def session(http: httpx.Client) -> Iterator[str]:
    made: str = http.post("/sessions").json()["session_id"]
    yield made
    http.delete(f"/sessions/{made}")


def rpc(http: httpx.Client, method: str, headers: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
    answer = http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers=headers)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    assert body["id"] == 1
    return body


def call(http: httpx.Client, name: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
    body = rpc(http, "tools/call", headers, name=name, **params)
    return body["result"]["data"] if "result" in body else body["error"]["data"]["code"]


def test_without_a_session_every_request_has_its_own_world(talk: httpx.Client) -> None:
    for _ in range(2):
        body = talk.post("/step", json={"action": {"text": "x"}}).json()
        assert set(body) == {"observation", "reward", "done", "metadata"}
        assert (body["observation"]["count"], body["reward"], body["done"], body["metadata"]) == (1, 1.0, False, None)
    assert talk.post("/reset").json()["reward"] is None
    assert talk.post("/reset", json={"seed": 3}).json()["observation"]["text"] == "seed 3"
    assert talk.get("/state").json()["step_count"] == 0
    assert talk.get("/sessions").json() == {"sessions": []}


@pytest.mark.parametrize(
    ("path", "body", "kind", "place"),
    [
        ("/reset", {"seed": -1}, "greater_than_equal", ["body", "seed"]),
        ("/reset", {"seed": "x"}, "int_parsing", ["body", "seed"]),
        ("/reset", {"episode_id": "x" * 256}, "string_too_long", ["body", "episode_id"]),
        ("/step", {"text": "hi"}, "missing", ["body", "action"]),
        ("/step", {"action": {"text": ""}}, "string_too_short", ["text"]),
        ("/step", {"action": {"text": "x", "evil": 1}}, "extra_forbidden", ["evil"]),
        ("/step", {"action": {"text": "x"}, "timeout_s": 0}, "greater_than", ["body", "timeout_s"]),
        ("/step", {"action": []}, "dict_type", ["body", "action"]),
    ],
)
def test_wrong_bodies_are_422_with_the_place(talk: httpx.Client, path: str, body: Any, kind: str, place: list[str]) -> None:
    made = talk.post("/sessions").json()["session_id"]
    answer = talk.post(path, json=body, headers={"X-Session-ID": made})
    first = answer.json()["detail"][0]
    assert (answer.status_code, first["type"], first["loc"]) == (422, kind, place)
    assert talk.get("/state", headers={"X-Session-ID": made}).json()["step_count"] == 0
    talk.delete(f"/sessions/{made}")


def test_a_body_of_too_many_values_is_422_and_short(talk: httpx.Client) -> None:
    for path in ("/reset", "/step"):
        refused = talk.post(path, json={"action": {"text": [1] * 500_000}})
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["ctx"] == {"error": "more than 500000 values; send less at once"}


def test_what_the_environment_raises_is_a_typed_500(talk: httpx.Client) -> None:
    answer = talk.post("/step", json={"action": {"text": "boom"}})
    assert answer.status_code == 500
    assert answer.json() == {"error": {"message": "'the talker broke'", "code": "EXECUTION_ERROR"}}


def test_the_life_of_a_session(talk: httpx.Client) -> None:
    made = talk.post("/sessions")
    assert made.status_code == 201
    name = made.json()["session_id"]
    headers = {"X-Session-ID": name}
    assert [talk.post("/step", json={"action": {"text": "x"}}, headers=headers).json()["observation"]["count"] for _ in "ab"] == [
        1,
        2,
    ]
    assert talk.get("/state", headers=headers).json()["step_count"] == 2
    (shown,) = talk.get("/sessions").json()["sessions"]
    assert shown == talk.get(f"/sessions/{name}").json()
    assert (shown["session_id"], shown["steps"], shown["attached"], shown["world"]) == (name, 2, False, None)
    assert talk.delete(f"/sessions/{name}").json() == {"session_id": name, "closed": True}
    for answer in (
        talk.get(f"/sessions/{name}"),
        talk.delete(f"/sessions/{name}"),
        talk.post("/reset", headers=headers),
        talk.post("/step", json={"action": {"text": "x"}}, headers=headers),
        talk.get("/state", headers=headers),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "SESSION_ERROR")


def test_the_methods_of_mcp(http: httpx.Client) -> None:
    tools = rpc(http, "tools/list")["result"]["tools"]
    assert [one["name"] for one in tools] == ["notes_list", "notes_add", "notes_remove", "notes_break"]
    assert tools[0]["annotations"] == {"readOnlyHint": True}
    assert "context" not in tools[1]["inputSchema"]["properties"]
    made = rpc(http, "openenv/session/create")["result"]["session_id"]
    assert call(http, "notes_add", arguments={"text": "one"}, session_id=made) == {"id": 2}
    assert call(http, "notes_add", {"X-Session-ID": made}, arguments={"text": "two"}) == {"id": 3}
    assert http.get("/state", headers={"X-Session-ID": made}).json()["step_count"] == 2
    assert len(call(http, "notes_list")) == 1
    assert rpc(http, "openenv/session/close", session_id=made)["result"] == {"session_id": made, "closed": True}
    assert call(http, "notes_list", session_id=made) == "SESSION_ERROR"
    assert rpc(http, "openenv/session/close", session_id="zzz")["error"]["code"] == -32602
    assert rpc(http, "tools/list", session_id="zzz")["error"]["code"] == -32602


def test_failures_of_tools_over_mcp(http: httpx.Client, session: str) -> None:
    wrong = rpc(http, "tools/call", name="notes_remove", arguments={"number": 0}, session_id=session)["error"]
    assert (wrong["code"], wrong["data"]["code"], wrong["data"]["field"]) == (-32602, "INVALID_ARGUMENTS", "number")
    assert wrong["data"]["example"] == {"number": 1}
    missing = rpc(http, "tools/call", name="notes_remove", arguments={"number": 99}, session_id=session)["error"]
    assert (missing["code"], missing["data"]["code"], missing["data"]["hint"]) == (-32603, "NOT_FOUND", "List the notes.")
    assert call(http, "notes_break", session_id=session) == "EXECUTION_ERROR"
    assert call(http, "notes_nothing", session_id=session) == "TOOL_NOT_FOUND"
    assert call(http, "notes_add", {"x-user": ""}, arguments={"text": "x" * 101}, session_id=session) == "INVALID_ARGUMENTS"
    assert [note["text"] for note in call(http, "notes_list", session_id=session)] == ["buy milk"]


def test_the_context_is_each_requests_own(http: httpx.Client, session: str) -> None:
    for user in ("anna", "bert"):
        call(http, "notes_add", {"x-user": user}, arguments={"text": "x"}, session_id=session)
    assert [note["author"] for note in call(http, "notes_list", session_id=session)] == ["seed", "anna", "bert"]


def test_a_worlds_name_is_a_key_to_it_on_every_route(http: httpx.Client) -> None:
    mine = {"x-notebook": "work1"}
    assert http.post("/reset", headers=mine).status_code == 200
    assert call(http, "notes_add", mine, arguments={"text": "a"}) == {"id": 2}
    action = {"type": "call_tool", "tool_name": "notes_add", "arguments": {"text": "b"}}
    assert http.post("/step", json={"action": action}, headers=mine).json()["observation"]["result"] == {"id": 3}
    assert http.get("/state", headers=mine).json()["step_count"] == 2
    (shown,) = [one for one in http.get("/sessions").json()["sessions"] if one["world"] == "work1"]
    assert len(call(http, "notes_list", {"x-notebook": "work2"})) == 1
    assert len(call(http, "notes_list", session_id=shown["session_id"])) == 3
    http.delete(f"/sessions/{shown['session_id']}")


def test_grading(http: httpx.Client, session: str) -> None:
    loaded = http.post(f"/sessions/{session}/scenario", json=SCENARIO)
    assert (loaded.status_code, set(loaded.json())) == (200, {"observation", "reward", "done", "metadata"})
    failed = http.post(f"/sessions/{session}/verify").json()
    assert (failed["passed"], failed["reward"], failed["episode"]["seed"], failed["episode"]["steps"]) == (False, 0.0, 7, 0)
    assert failed["initial"] == failed["final"]
    call(http, "notes_add", arguments={"text": "call mum"}, session_id=session)
    passed = http.post(f"/sessions/{session}/verify", json={"response": "done"}).json()
    assert (passed["passed"], passed["reward"], passed["episode"]["steps"]) == (True, 1.0, 1)
    assert [event["tool"] for event in passed["events"]] == ["notes_add"]
    assert passed["initial"] != passed["final"]
    for at, rows in (("initial", 1), ("final", 2)):
        image = http.get(f"/sessions/{session}/database", params={"at": at}).content
        assert hashlib.sha256(image).hexdigest() == passed[at]
        copy = sqlite3.connect(":memory:")
        copy.deserialize(image)
        assert copy.execute("SELECT COUNT(*) FROM notes").fetchone() == (rows,)
        copy.close()
    found = http.post(f"/sessions/{session}/sql", json={"query": "SELECT id, text FROM notes"}).json()
    assert found == {"columns": ["id", "text"], "rows": [[1, "buy milk"], [2, "call mum"]]}


def test_under_a_scenario_only_the_outcome_is_rewarded_and_the_limit_ends_it(http: httpx.Client, session: str) -> None:
    http.post(f"/sessions/{session}/scenario", json=SCENARIO)
    headers = {"X-Session-ID": session}
    action = {"type": "call_tool", "tool_name": "notes_add", "arguments": {"text": "call mum"}}
    look = {"type": "call_tool", "tool_name": "notes_list"}
    answers = [http.post("/step", json={"action": one}, headers=headers).json() for one in (action, look, look)]
    assert [(one["reward"], one["done"]) for one in answers] == [(0.0, False), (0.0, False), (1.0, True)]
    over = http.post("/step", json={"action": look}, headers=headers)
    assert (over.status_code, over.json()["error"]["code"]) == (409, "EPISODE_OVER")
    assert http.post("/reset", headers=headers).status_code == 200
    assert http.post("/step", json={"action": look}, headers=headers).json()["done"] is False
    seeded = http.post("/reset", json={"seed": 8}, headers=headers)
    assert (seeded.status_code, seeded.json()["error"]["field"]) == (422, "seed")


def test_what_cannot_be_graded(http: httpx.Client, talk: httpx.Client, session: str) -> None:
    def refused(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    assert refused(http.post(f"/sessions/{session}/verify")) == (422, "VALIDATION_ERROR")
    assert refused(http.get(f"/sessions/{session}/database", params={"at": "initial"})) == (501, "UNSUPPORTED")
    assert refused(http.get(f"/sessions/{session}/database", params={"at": "now"})) == (422, "VALIDATION_ERROR")
    for path, body in (("scenario", SCENARIO), ("verify", {}), ("sql", {"query": "SELECT 1"})):
        assert refused(http.post(f"/sessions/nothing/{path}", json=body)) == (404, "SESSION_ERROR")
    setup = SCENARIO | {"setup": [{"tool": "notes_remove", "arguments": {"number": 99}}]}
    failed = http.post(f"/sessions/{session}/scenario", json=setup)
    assert refused(failed) == (422, "VALIDATION_ERROR")
    assert failed.json()["error"]["field"] == "setup.0"
    assert refused(http.post(f"/sessions/{session}/verify")) == (422, "VALIDATION_ERROR")
    made = talk.post("/sessions").json()["session_id"]
    assert refused(talk.post(f"/sessions/{made}/sql", json={"query": "SELECT 1"})) == (501, "UNSUPPORTED")
    talk.delete(f"/sessions/{made}")


def test_what_tells_about_the_server(http: httpx.Client, talk: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "healthy"}
    keys = {"name", "description", "readme_content", "version", "author", "documentation_url"}
    assert set(http.get("/metadata").json()) == keys
    schema = talk.get("/schema").json()
    assert set(schema) == {"action", "observation", "state", "reset_observation"}
    assert schema["action"]["required"] == ["text"]
    assert "terminated" not in schema["observation"]["properties"]
    assert http.get("/list_environments").json() == ["notes"]
    assert http.get("/docs").status_code == 200
    document = http.get("/openapi.json").json()
    assert document["info"]["version"].startswith("1.")
    known = {"/reset", "/step", "/state", "/mcp", "/health", "/schema", "/metadata", "/metrics", "/sessions"}
    assert known | {f"/sessions/{{session_id}}/{one}" for one in ("scenario", "verify", "sql", "database")} <= set(
        document["paths"]
    )
    step = document["paths"]["/step"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "action" in step["required"]
    told = document["paths"]["/sessions/{session_id}/scenario"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(told["required"]) == {"id", "task", "verifiers"}
    references = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


@pytest.mark.parametrize(("method", "path"), [("GET", "/reset"), ("GET", "/mcp"), ("DELETE", "/mcp"), ("PUT", "/sessions")])
def test_other_methods_are_405(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
