"""``openenv serve --workers 2``: every session on every connection, over every transport."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from mcp import Client
from websockets.asyncio.client import connect

from openenv import EnvClient
from tests.support.processes import ROOT, Server, Servers
from tests.support.worker_toys import Lines, home

pytestmark = pytest.mark.e2e

TOYS = "tests.support.worker_toys"
BOTH = [0, 1]
VERIFIER = {"verifier_type": "response", "validation_config": {"contains": "yes"}}


@pytest.fixture(scope="module")
def quick(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)


@pytest.fixture(scope="module")
def named(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:named_app", "--workers", "2", cwd=ROOT)


@pytest.fixture(scope="module")
def calendar(module_serve: Servers) -> Server:
    return module_serve("calendar", "--workers", "2")


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.close()


@pytest.fixture
def sessions(quick: Server) -> Iterator[list[str]]:
    """A session on each worker; ended afterwards."""
    found: dict[int, str] = {}
    made: list[str] = []
    with httpx.Client(base_url=quick.url) as client:
        while len(found) < len(BOTH):
            session: str = client.post("/sessions").json()["session_id"]
            made.append(session)
            found[home(session)] = session
        yield [found[worker] for worker in BOTH]
        for session in made:
            client.delete(f"/sessions/{session}")


def step(text: str) -> dict[str, Any]:
    return {"action": {"text": text}}


@pytest.mark.parametrize("taker", BOTH)
@pytest.mark.parametrize("owner", BOTH)
def test_a_session_is_reachable_on_every_connection(
    quick: Server, sessions: list[str], owner: int, taker: int, lines: Lines
) -> None:
    session = sessions[owner]
    named = {"X-Session-ID": session}

    def ask(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        line = lines(quick, taker)  # a new connection for each: one that was here once would stay
        status, answer, worker = line.ask(method, path, body, headers)
        line.close()
        assert (status, worker) == (200, str(owner)), answer
        return answer

    assert ask("POST", "/reset", {"start": 5}, named)["observation"]["count"] == 5
    assert ask("POST", "/step", step("a"), named)["observation"]["count"] == 6
    assert ask("GET", "/state", None, named)["step_count"] == 1
    assert ask("GET", f"/sessions/{session}")["steps"] == 1
    graded = ask("POST", f"/sessions/{session}/verify", {"response": "yes", "verifiers": [VERIFIER]})
    assert graded["passed"] is True
    assert ask("DELETE", f"/sessions/{session}") == {"session_id": session, "closed": True}
    line = lines(quick, taker)
    status, answer, worker = line.ask("GET", f"/sessions/{session}")
    assert (status, worker, "closed by request" in answer["error"]["message"]) == (404, str(owner), True)


def test_one_connection_goes_from_worker_to_worker(lines: Lines, quick: Server, sessions: list[str]) -> None:
    for line in [lines(quick, worker) for worker in BOTH]:
        for number in (0, 1, 1, 0, 0, 1):
            status, _, worker = line.ask("POST", "/step", step("a"), {"X-Session-ID": sessions[number]})
            assert (status, worker) == (200, str(number))


def test_sessions_of_all_workers_are_listed_by_each(lines: Lines, quick: Server, sessions: list[str]) -> None:
    for line in [lines(quick, worker) for worker in BOTH]:
        status, answer, _ = line.ask("GET", "/sessions")
        assert status == 200
        assert {one["session_id"] for one in answer["sessions"]} >= set(sessions)
        assert "silent_workers" not in answer


def test_ids_are_uuids(sessions: list[str]) -> None:
    assert [uuid.UUID(session).version for session in sessions] == [8, 8]


@pytest.mark.parametrize("taker", BOTH)
@pytest.mark.parametrize("owner", BOTH)
async def test_a_socket_attaches_to_a_session_of_any_worker(
    quick: Server, sessions: list[str], owner: int, taker: int, lines: Lines
) -> None:
    session = sessions[owner]
    uri = f"{quick.ws_url}/ws?session_id={session}"
    for count in (1, 2):
        async with connect(uri, sock=lines.socket(quick, taker)) as socket:
            assert socket.response is not None
            assert socket.response.headers["x-openenv-worker"] == str(owner)
            await socket.send(json.dumps({"type": "step", "data": {"text": "a"}}))
            assert json.loads(await socket.recv())["data"]["observation"]["count"] == count


async def test_new_sockets_spread(quick: Server, lines: Lines) -> None:
    """Whichever worker takes them: the fuller one hands them to the other."""
    sockets = [await connect(f"{quick.ws_url}/ws", sock=lines.socket(quick, 0)) for _ in range(10)]
    try:
        for socket in sockets:
            await socket.send(json.dumps({"type": "reset", "data": {}}))
            assert json.loads(await socket.recv())["type"] == "observation"
        workers = [socket.response.headers["x-openenv-worker"] for socket in sockets if socket.response is not None]
        assert abs(workers.count("0") - workers.count("1")) <= 2, workers
    finally:
        for socket in sockets:
            await socket.close()


@pytest.mark.parametrize("taker", BOTH)
@pytest.mark.parametrize("owner", BOTH)
def test_openenvs_json_rpc_finds_a_session_that_its_body_names(quick: Server, owner: int, taker: int, lines: Lines) -> None:
    line = lines(quick, owner)
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
    session = line.ask("POST", "/mcp", rpc)[1]["result"]["session_id"]
    assert home(session) == owner
    line.close()
    line = lines(quick, taker)
    close = {"jsonrpc": "2.0", "id": 2, "method": "openenv/session/close", "params": {"session_id": session}}
    _, answer, worker = line.ask("POST", "/mcp", close)
    assert answer["result"] == {"session_id": session, "closed": True}
    assert worker == str(owner)


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
async def test_a_socket_ends_a_session_of_another_worker(quick: Server, sessions: list[str], lines: Lines, path: str) -> None:
    for session in sessions:
        for taker in BOTH:
            async with connect(f"{quick.ws_url}{path}", sock=lines.socket(quick, taker)) as socket:
                close = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/close", "params": {"session_id": session}}
                await socket.send(json.dumps(close if path == "/mcp" else {"type": "mcp", "data": close}))
                answer = json.loads(await socket.recv())
                answer = answer if path == "/mcp" else answer["data"]
                if taker == 0:
                    assert answer["result"] == {"session_id": session, "closed": True}
                else:
                    assert "has ended: closed by request" in answer["error"]["message"], answer


def test_a_named_world_is_one_whichever_connection_asks(named: Server, lines: Lines) -> None:
    homes: dict[str, set[str]] = {}
    for name in ("work", "play", "home", "away"):
        who = {"X-Notebook": name, "X-User": "anna"}
        for number, taker in enumerate((0, 1, 1, 0)):
            line = lines(named, taker)
            call = {"type": "call_tool", "tool_name": "notes_add", "arguments": {"text": f"{name} {number}"}}
            status, answer, worker = line.ask("POST", "/step", {"action": call}, who)
            assert status == 200, answer
            homes.setdefault(name, set()).add(worker)
            line.close()
        line = lines(named, 0)
        call = {"type": "call_tool", "tool_name": "notes_list", "arguments": {}}
        _, answer, _ = line.ask("POST", "/step", {"action": call}, who)
        assert [note["text"] for note in answer["observation"]["result"]][1:] == [f"{name} {number}" for number in range(4)]
        line.close()
    assert {len(workers) for workers in homes.values()} == {1}
    assert len(set.union(*homes.values())) == 2


async def test_sockets_and_created_sessions_share_a_named_world(named: Server, lines: Lines) -> None:
    who = {"X-Notebook": "shared", "X-User": "anna"}
    add = {"type": "call_tool", "tool_name": "notes_add", "arguments": {"text": "from a socket"}}
    made = []
    for taker in BOTH:
        line = lines(named, taker)
        status, answer, _ = line.ask("POST", "/sessions", None, who)
        assert status == 201
        made.append(answer["session_id"])
        line.close()
    for taker in BOTH:
        uri = f"{named.ws_url}/ws"
        async with connect(uri, sock=lines.socket(named, taker), additional_headers=who) as socket:
            await socket.send(json.dumps({"type": "step", "data": add}))
            assert json.loads(await socket.recv())["type"] == "observation"
    line = lines(named, 0)
    call = {"type": "call_tool", "tool_name": "notes_list", "arguments": {}}
    for session in made:
        _, answer, _ = line.ask("POST", "/step", {"action": call}, {"X-Session-ID": session})
        assert [note["text"] for note in answer["observation"]["result"]] == ["buy milk", "from a socket", "from a socket"]


def test_a_named_calendar_is_one_over_http(calendar: Server, lines: Lines) -> None:
    who = {"x-database-id": "team"}
    seen = set()
    for taker in (0, 1, 0, 1):
        line = lines(calendar, taker)
        status, answer, worker = line.ask("GET", "/state", None, who)
        assert status == 200, answer
        seen.add((answer["episode_id"], worker))
        line.close()
    assert len(seen) == 1


async def test_an_mcp_client_has_one_session_over_many_connections(named: Server) -> None:
    """The official SDK; with each request on a connection of its own, so that all workers are asked."""
    for _ in range(4):
        async with httpx.AsyncClient(headers={"Connection": "close"}) as http:
            opened = (await http.post(f"{named.url}/sessions")).json()["session_id"]
        async with Client(f"{named.url}/sessions/{opened}/mcp") as client:
            for _ in range(6):
                texts = (await client.call_tool("notes_list", {})).content
                assert "buy milk" in texts[0].text  # type: ignore[union-attr]
        async with Client(f"{named.url}/mcp") as client:
            for _ in range(6):
                assert not (await client.call_tool("notes_list", {})).is_error


@pytest.mark.parametrize("taker", BOTH)
@pytest.mark.parametrize("owner", BOTH)
def test_an_mcp_session_is_reachable_on_every_connection(named: Server, owner: int, taker: int, lines: Lines) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    line = lines(named, owner)
    line.request(
        "POST",
        "/mcp",
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        {
            "Content-Type": "application/json",
            **accept,
        },
    )
    response = line.getresponse()
    response.read()
    session = response.headers["mcp-session-id"]
    assert home(session) == owner
    line.close()
    known = {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25", **accept}
    other = lines(named, taker)
    status, _, worker = other.ask("POST", "/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, known)
    assert (status, worker) == (202, str(owner))
    other.close()
    other = lines(named, taker)
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "notes_list", "arguments": {}}}
    status, answer, worker = other.ask("POST", "/mcp", call, known)
    assert (status, worker, b"buy milk" in answer) == (200, str(owner), True)
    other.close()
    stream = lines(named, taker)
    stream.request("GET", "/mcp", headers={**known, "Accept": "text/event-stream"})
    opened = stream.getresponse()
    assert (opened.status, opened.headers["x-openenv-worker"]) == (200, str(owner))
    other = lines(named, taker)
    assert other.ask("DELETE", "/mcp", None, known)[0] == 200
    opened.read()  # the stream ends with its session
    other = lines(named, taker)
    assert other.ask("POST", "/mcp", call, known)[0] == 404


def test_our_client_works_with_every_worker(quick: Server) -> None:
    for _ in range(6):
        with EnvClient(quick.url) as client:
            client.reset()
            assert client.step({"text": "hello"}).reward == 1.0
