"""Log lines: which ids they have, what they leave out, and that nothing of a step or of a token is in them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from openenv.errors import Forbidden, RateLimited, SessionError, Unauthenticated, ValidationFailed
from openenv.middleware import JsonLog
from openenv.operation import Connection, Operation, OpName, Principal, Result
from tests.middleware.apps import token_file
from tests.support.mcp_wire import Peer, modern
from tests.support.processes import ROOT, Servers

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
IDS = {"trace", "span", "session", "episode", "request"}
STEP = {"type": "call_tool", "tool_name": "notes_list"}
ANNA, GERT = {"Authorization": "Bearer token-of-anna-0001"}, {"Authorization": "Bearer token-of-gert-0001"}


class Log:
    """A log in memory."""

    def __init__(self, level: Any = "info") -> None:
        self.stream = io.StringIO()
        self.log = JsonLog("toy", self.stream, level)

    def do(self, op: OpName, result: Result | None = None, session: str | None = "s", **known: Any) -> None:
        transport = known.pop("transport", "http")
        operation = Operation(op, session=session, transport=transport, principal=Principal("anna"), trace=TRACEPARENT, **known)
        self.log.after(operation, result or Result(session=session, episode="e"))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.mark.e2e
def test_every_line_has_every_id_on_every_transport(serve: Servers, tmp_path: Path) -> None:
    server = serve("tests.middleware.apps:notes_app", "--tokens", str(token_file(tmp_path)), cwd=ROOT)
    ids = {"traceparent": TRACEPARENT, "X-Request-ID": "r-1"}
    with httpx.Client(base_url=server.url, headers=ids) as http:
        session = http.post("/sessions", headers=ANNA).json()["session_id"]
        for _ in range(3):
            http.post("/step", json={"action": STEP}, headers=ANNA | {"x-session-id": session})
        http.post(f"/sessions/{session}/sql", json={"query": "SELECT 1"}, headers=ANNA)
        http.post("/step", json={"action": STEP})
        http.post("/step", json={"action": STEP}, headers=GERT | {"x-session-id": session})
        http.get("/schema", headers={"Authorization": "Bearer token-of-stranger-1"})
        http.get("/schema", headers={"Origin": "https://evil.example"})
        http.delete(f"/sessions/{session}", headers=ANNA)
    for path, frame in (("/ws", {"type": "step", "data": STEP}), ("/mcp", {"jsonrpc": "2.0", "id": 7, "method": "tools/list"})):
        with connect(server.ws_url + path, additional_headers=ANNA | ids) as socket:
            socket.send(json.dumps(frame))
            socket.recv()
        with connect(server.ws_url + path, additional_headers=ids) as socket:
            socket.recv()
    assert httpx.get(f"{server.url}/health").status_code == 200
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert all(set(line) >= IDS for line in lines)
    assert {(line["trace"], line["span"]) for line in lines} == {(TRACE, SPAN)}
    assert {line["request"] for line in lines} == {"r-1"}
    events = [line["event"] for line in lines]
    assert (events.count("session.open"), events.count("session.close"), events.count("episode")) == (3, 3, 2)
    refused = [line for line in lines if line["event"] == "refused"]
    assert {(line["code"], line["op"], line["transport"], line["principal"]) for line in refused} == {
        ("FORBIDDEN", "query", "http", "anna"),
        ("SESSION_ERROR", "step", "http", "gert"),
        ("UNAUTHENTICATED", "admit", "http", "anonymous"),
        ("FORBIDDEN", "admit", "http", "anonymous"),
        ("UNAUTHENTICATED", "admit", "websocket", "anonymous"),
        ("UNAUTHENTICATED", "admit", "mcp-websocket", "anonymous"),
    }
    forbidden = next(line for line in refused if line["op"] == "query")
    episode = next(line for line in lines if line["event"] == "episode" and line["session"] == session)
    assert forbidden["episode"] == episode["episode"]
    assert (forbidden["session"], episode["steps"]) == (session, 3)
    closed = next(line for line in lines if line["event"] == "session.close" and line["session"] == session)
    assert (closed["operations"], closed["errors"]) == (3, 0), "what others tried is nobody's account"
    assert not any(word in server.log() for word in ("token-of-", "Bearer"))


@pytest.mark.e2e
def test_calls_over_mcp_have_every_id(serve: Servers) -> None:
    server = serve("tests.middleware.apps:notes_app", "--log-level", "debug", cwd=ROOT)
    call: dict[str, Any] = {"name": "notes_list", "arguments": {}}
    with httpx.Client(base_url=server.url, headers={"traceparent": TRACEPARENT}) as http:
        session = http.post("/sessions").json()["session_id"]
        http.post("/mcp", json={"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call | {"session_id": session}})
        peer = Peer(http)
        peer.initialize()
        peer.call("notes_list")
        modern(http, "tools/call", call, f"/sessions/{session}/mcp")
        with connect(f"{server.ws_url}/mcp", additional_headers={"traceparent": TRACEPARENT}) as socket:
            socket.send(json.dumps({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": call}))
            socket.recv()
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    calls = [line for line in lines if line["event"] == "operation" and line["op"] == "call_tool"]
    assert [line["transport"] for line in calls] == ["mcp", "mcp", "mcp", "mcp-websocket"]
    assert {(line["trace"], line["span"]) for line in calls} == {(TRACE, SPAN)}
    assert [line["session"] for line in calls[:3]] == [session, peer.session, session]
    assert [line["request"] for line in calls] == [7, 2, 1, 9]
    assert all(line["session"] and line["episode"] for line in calls)


@pytest.mark.e2e
def test_a_line_per_operation_is_there_for_who_asks(serve: Servers) -> None:
    server = serve("tests.middleware.apps:notes_app", "--log-level", "debug", cwd=ROOT)
    with connect(f"{server.ws_url}/ws") as socket:
        for frame in ({"type": "reset"}, {"type": "step", "data": STEP}, {"type": "nonsense"}):
            socket.send(json.dumps(frame))
            socket.recv()
    server.stop()
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    debug = [(line["op"], line["tool"], line["code"]) for line in lines if line["event"] == "operation"]
    assert debug[:4] == [
        ("create", None, None),
        ("reset", None, None),
        ("step", "notes_list", None),
        ("invalid", None, "UNKNOWN_TYPE"),
    ]


def test_steps_write_nothing() -> None:
    log = Log()
    log.do("create")
    for _ in range(1000):
        log.do("step", Result(episode="e", reward=1.0))
    log.do("step", Result(error=ValidationFailed("bad")))
    assert [line["event"] for line in log.lines] == ["session.open"]
    log.do("close", transport="runtime", payload="over")
    opened, episode, closed = log.lines
    assert (episode["steps"], episode["reward"], episode["episode"]) == (1000, 1000.0, "e")
    assert (closed["operations"], closed["errors"], closed["reason"], closed["transport"]) == (1001, 1, "over", "http")
    assert opened["trace"] == closed["trace"] == TRACE


def test_the_end_of_a_session_that_nobody_asked_for_has_its_sessions_ids() -> None:
    log = Log("debug")
    log.do("create")
    log.log.after(Operation("close", payload="over", session="s", transport="runtime"), Result())
    [line] = [line for line in log.lines if line["event"] == "operation" and line["op"] == "close"]
    assert (line["trace"], line["principal"]) == (TRACE, "anna")


def test_of_a_session_that_has_ended_nothing_is_kept() -> None:
    log = Log()
    log.do("create")
    log.do("fork", Result(value=["left", "right"]))
    for session in ("s", "left", "right"):
        log.do("step", session=session)
        log.do("close", session=session, transport="runtime", payload="over")
        log.do("step", Result(error=SessionError("it has ended")), session=session)
    assert log.log._accounts == {}


def test_a_flood_of_refusals_is_no_flood_of_lines() -> None:
    log = Log()
    log.do("create")
    for _ in range(2000):
        log.do("step", Result(error=RateLimited("slow down", retry_after_s=1)))
        log.log.refused(Connection("http", {}, {}, client="10.0.0.1"), Unauthenticated("who"))
    assert 20 <= len(log.lines) - 1 <= 200
    log.log.refused(Connection("http", {}, {}, client="10.0.0.2"), Unauthenticated("who"))
    assert log.lines[-1]["client"] == "10.0.0.2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
        '","level":"forged',
    ],
)
def test_a_traceparent_that_is_none_is_not_copied(text: str) -> None:
    log = Log()
    log.log.refused(Connection("http", {"traceparent": text}, {}), Forbidden("no"))
    (line,) = log.lines
    assert (line["trace"], line["span"]) == (None, None)


def test_a_later_version_of_traceparent_may_say_more() -> None:
    log = Log()
    log.log.refused(Connection("http", {"traceparent": f"01-{TRACE}-{SPAN}-01-more"}, {}), Forbidden("no"))
    assert (log.lines[0]["trace"], log.lines[0]["span"]) == (TRACE, SPAN)


def test_what_a_client_sends_makes_no_line_long_and_no_second_line() -> None:
    log = Log()
    hostile = '\n{"event": "session.open"}' * 100_000
    log.do("step", Result(error=SessionError(hostile)), session=hostile, id=hostile)
    (line,) = log.lines
    assert len(json.dumps(line)) < 2000
