"""Input that nobody should send: each gets a typed answer and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.support.processes import ROOT, Server, Servers

DEEP = "[" * 100_000
USER = {"x-user": "anna"}


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:notes_app", cwd=ROOT)


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=USER) as client:
        yield client


@pytest.fixture
def session(http: httpx.Client) -> Iterator[str]:
    made: str = http.post("/sessions").json()["session_id"]
    http.post("/reset", headers={"x-session-id": made})
    yield made
    assert http.delete(f"/sessions/{made}").status_code == 200


def notes(http: httpx.Client, session: str) -> Any:
    found = http.post(f"/sessions/{session}/sql", json={"query": "SELECT id, text, author FROM notes"})
    return found.json()["rows"]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        "5",
        "null",
        '"text"',
        DEEP,
        '{"a":' * 50_000,
        '{"type": ["step"]}',
        '{"type": {"a": 1}}',
        '{"type":"step"}',
        '{"type":"step","data":[]}',
        '{"type":"step","data":{"type":"call_tool"}}',
        '{"type":"step","data":{"type":"call_tool","tool_name":5}}',
        '{"type":"step","data":{"type":"call_tool","tool_name":"x","evil":1}}',
        '{"type":"step","data":{"type":"other"}}',
        '{"type":"step","data":{"type":"list_tools"},"id":1}',
        '{"type":"mcp","data":5}',
        '{"action":5}',
        '{"action":null}',
        '{"action":"explode"}',
        '{"action":{"type":"list_tools"},"x":1}',
        '{"action":"state","type":"state"}',
        '{"type":"reset","data":{"seed":1e400}}',
        '{"type":"reset","data":{"seed":' + "9" * 5000 + "}}",
        '{"type":"step","data":{"type":"call_tool","tool_name":"\\ud800","arguments":{}}}',
        '{"type":"reset","data":{"episode_id":"\\ud800"}}',
        '{"type":"\\ud800"}',
    ],
)
async def test_frames(server: Server, frame: str) -> None:
    async with connect(f"{server.ws_url}/ws", additional_headers=USER) as socket:
        await socket.send('{"type":"reset"}')
        await socket.recv()
        await socket.send(frame)
        answer = json.loads(await socket.recv())
        known = answer.get("error") or answer["data"]
        if "observation" in known:
            known = known["observation"]["error"]
        assert known["code"] in {"INVALID_JSON", "UNKNOWN_TYPE", "VALIDATION_ERROR", "TOOL_NOT_FOUND"}, answer
        await socket.send('{"type":"step","data":{"type":"call_tool","tool_name":"notes_list"}}')
        kept = json.loads(await socket.recv())["data"]["observation"]["result"]
        assert [note["text"] for note in kept] == ["buy milk"]


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
async def test_closing_a_session_without_a_name_closes_nobodys(server: Server, path: str) -> None:
    close = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/close", "params": {"session_id": ""}}
    frame = close if path == "/mcp" else {"type": "mcp", "data": close}
    async with connect(f"{server.ws_url}{path}", additional_headers=USER) as socket:
        for _ in range(2):
            await socket.send(json.dumps(frame))
            answer = json.loads(await socket.recv())
            error = (answer if path == "/mcp" else answer["data"])["error"]
            assert (error["code"], error["data"]["code"]) == (-32602, "SESSION_ERROR")


async def test_a_frame_of_20_mb_closes_its_socket_and_no_other(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws", additional_headers=USER) as other:
        async with connect(f"{server.ws_url}/ws", additional_headers=USER) as socket:
            with pytest.raises(ConnectionClosedError) as closed:  # noqa: PT012 - the server may close while it is sent
                await socket.send('{"type":"step","data":"' + "x" * 20_000_000 + '"}')
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        await other.send('{"type":"state"}')
        assert json.loads(await other.recv())["type"] == "state"


BODIES = [b"{bad", b"[]", b"5", b"null", DEEP.encode(), b"\xff\xfe", b'{"x":1}', b'{"action":{"\\ud800":1}}']


ROUTES = ["/reset", "/step", "/mcp", "/sessions/{id}/scenario", "/sessions/{id}/verify", "/sessions/{id}/sql"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", BODIES)
def test_bodies(http: httpx.Client, session: str, route: str, body: bytes) -> None:
    answer = http.post(route.format(id=session), content=body, headers={"x-session-id": session})
    if route == "/mcp":
        assert answer.status_code == 200
        assert answer.json()["error"]["code"] in (-32700, -32600)
    elif (route, body) == ("/reset", b'{"x":1}'):
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"]
    assert notes(http, session) == [[1, "buy milk", "seed"]]


@pytest.mark.parametrize("path", ["/reset", "/step", "/mcp"])
def test_a_body_of_20_mb_is_refused(http: httpx.Client, path: str) -> None:
    answer = http.post(path, content=b"x" * 20_000_000)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "PAYLOAD_TOO_LARGE"

    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000_000

    assert http.post(path, content=endless()).status_code == 413


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "a b", "a'; DROP TABLE notes;--", "%2e%2e", "x" * 5000 + "!"])
async def test_names_of_worlds(server: Server, name: str) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        answer = await http.post("/reset", headers={"x-notebook": name})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    async with connect(f"{server.ws_url}/ws", additional_headers={"x-notebook": name}) as socket:
        assert json.loads(await socket.recv())["data"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM notes",
        "INSERT INTO notes(text) VALUES ('x')",
        "UPDATE notes SET text = ''",
        "DROP TABLE notes",
        "CREATE TABLE t(x)",
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "PRAGMA table_info(notes)",
        "PRAGMA writable_schema = 1",
        "SELECT 1; DELETE FROM notes",
        "BEGIN",
        "VACUUM INTO '/tmp/x.db'",
        "SELECT load_extension('x')",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT COUNT(*) FROM c",
        "SELECT randomblob(2000000000)",
        "SELECT nothing FROM nowhere",
        "",
        "SELECT '" + "x" * 200_000 + "'",
    ],
)
def test_sql(http: httpx.Client, session: str, query: str) -> None:
    answer = http.post(f"/sessions/{session}/sql", json={"query": query})
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] in ("QUERY_REFUSED", "QUERY_TOO_EXPENSIVE")
    verifier = {"verifier_type": "database_state", "validation_config": {"query": query, "expected_value": 1}}
    verified = http.post(f"/sessions/{session}/verify", json={"verifiers": [verifier]})
    if verified.status_code == 200:
        assert verified.json()["passed"] is False
        assert verified.json()["verdicts"][0]["error"]["code"].startswith("QUERY_")
    else:
        assert verified.status_code == 422
    assert notes(http, session) == [[1, "buy milk", "seed"]]


def test_sql_in_arguments_is_text(http: httpx.Client, session: str) -> None:
    text = "'); DROP TABLE notes; --"
    action = {"type": "call_tool", "tool_name": "notes_add", "arguments": {"text": text}}
    assert http.post("/step", json={"action": action}, headers={"x-session-id": session}).status_code == 200
    assert notes(http, session) == [[1, "buy milk", "seed"], [2, text, "anna"]]


def test_nothing_was_logged_as_a_crash(server: Server) -> None:
    assert "Traceback" not in server.log()
