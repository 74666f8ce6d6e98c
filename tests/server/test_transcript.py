"""Conversations with real servers on ``/ws`` and ``WS /mcp``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedOK

from tests.support.processes import ROOT, Server, Servers

USER = {"x-user": "anna"}


@pytest.fixture(scope="module")
def talker(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:talker_app", cwd=ROOT)


@pytest.fixture(scope="module")
def plain(module_serve: Servers) -> Server:
    """The same without the door: uvicorn's own WebSocket layer."""
    return module_serve("tests.support.toys:talker_app", cwd=ROOT, uvicorn=True)


@pytest.fixture(params=["door", "uvicorn"])
def server(request: pytest.FixtureRequest, talker: Server, plain: Server) -> Server:
    return talker if request.param == "door" else plain


@pytest.fixture(scope="module")
def notes(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:notes_app", cwd=ROOT)


async def ask(socket: ClientConnection, message: Any) -> dict[str, Any]:
    await socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


async def closes(socket: ClientConnection) -> None:
    with pytest.raises(ConnectionClosedOK) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def active(server: Server) -> int:
    async with httpx.AsyncClient(base_url=server.url) as http:
        return len((await http.get("/sessions")).json()["sessions"])


async def test_both_dialects_mixed_on_one_socket(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws") as socket:
        first = await ask(socket, {"type": "reset", "data": {"seed": 42, "start": 5}})
        assert first["data"]["observation"]["text"] == "seed 42"
        assert "metadata" not in first["data"]
        stepped = await ask(socket, {"action": {"text": "a"}})
        assert set(stepped) == {"observation", "reward", "done", "state"}
        assert (stepped["observation"]["count"], stepped["reward"], stepped["state"]["step_count"]) == (6, 1.0, 1)
        again = await ask(socket, {"type": "step", "data": {"text": "b"}})
        assert (again["type"], again["data"]["observation"]["count"]) == ("observation", 7)
        state = await ask(socket, {"action": "state"})
        assert (state["observation"]["text"], state["reward"], state["state"]["step_count"]) == ("b", 1.0, 2)
        assert (await ask(socket, {"type": "state"}))["data"]["step_count"] == 2
        fresh = await ask(socket, {"action": "reset", "seed": 1, "episode_id": "mine"})
        assert (fresh["state"]["episode_id"], fresh["state"]["step_count"], fresh["reward"]) == ("mine", 0, None)
        ended = await ask(socket, {"action": {"text": "end"}})
        assert ended["done"] is True
        await socket.send('{"action":"close"}')
        await closes(socket)


async def test_errors_leave_the_world_and_the_socket_as_they_were(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws") as socket:
        await ask(socket, {"type": "reset"})
        for frame, code in (
            ("nope", "INVALID_JSON"),
            ("[]", "VALIDATION_ERROR"),
            (b"\x00\x01", "VALIDATION_ERROR"),
            (b'{"type":"step","data":{"text":"binary"}}', "VALIDATION_ERROR"),
            ({"type": "ping"}, "UNKNOWN_TYPE"),
            ({"type": "step", "data": {"text": ""}}, "VALIDATION_ERROR"),
            ({"type": "step", "data": {"text": "x", "evil": 1}}, "VALIDATION_ERROR"),
            ({"type": "close", "data": {}}, "VALIDATION_ERROR"),
            ({"type": "step", "data": {"text": "boom"}}, "EXECUTION_ERROR"),
            ({"type": "reset", "data": {"seed": "abc"}}, "VALIDATION_ERROR"),
            ({"type": "reset", "data": {"episode_id": 5}}, "VALIDATION_ERROR"),
        ):
            answer = await ask(socket, frame)
            assert (answer["type"], answer["data"]["code"]) == ("error", code), frame
        broken = await ask(socket, {"action": {"text": "boom"}})
        assert broken["error"]["message"] == "'the talker broke'"
        assert (await ask(socket, {"type": "state"}))["data"]["step_count"] == 0
        assert (await ask(socket, {"type": "step", "data": {"text": "x"}}))["data"]["observation"]["count"] == 1


async def test_json_rpc_on_a_socket_is_about_its_own_session(server: Server, notes: Server) -> None:
    async with connect(f"{server.ws_url}/ws") as socket:
        listed = await ask(socket, {"type": "mcp", "data": {"jsonrpc": "2.0", "method": "tools/list", "id": 1}})
        error = {"code": -32603, "message": "Environment does not support MCP", "data": None}
        assert listed == {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "error": error}}
    async with connect(f"{notes.ws_url}/ws", additional_headers=USER) as socket:
        rpc = {"jsonrpc": "2.0", "id": 2, "method": "openenv/session/create"}
        made = (await ask(socket, {"type": "mcp", "data": rpc}))["data"]["result"]["session_id"]
        async with httpx.AsyncClient(base_url=notes.url) as http:
            assert (await http.get(f"/sessions/{made}")).json()["attached"] is True
        call = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "notes_add", "arguments": {"text": "x"}}}
        added = await ask(socket, {"type": "mcp", "data": call})
        assert added["data"]["result"]["data"] == {"id": 2}
        assert (await ask(socket, {"type": "state"}))["data"]["step_count"] == 1
        close = {"jsonrpc": "2.0", "id": 4, "method": "openenv/session/close", "params": {"session_id": made}}
        assert (await ask(socket, {"type": "mcp", "data": close}))["data"]["error"]["code"] == -32600
        assert (await ask(socket, {"type": "state"}))["data"]["step_count"] == 1


async def test_bare_json_rpc_on_the_mcp_socket(notes: Server) -> None:
    before = await active(notes)
    async with connect(f"{notes.ws_url}/mcp", additional_headers=USER) as socket:
        assert await active(notes) == before + 1
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notes_add", "arguments": {"text": "x"}}}
        assert (await ask(socket, call))["result"]["data"] == {"id": 2}
        assert (await ask(socket, call | {"id": "b"}))["id"] == "b"
        look = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "notes_list", "session_id": "ignored"}}
        assert len((await ask(socket, look))["result"]["data"]) == 3
        for frame, code in (("{", -32700), ("[]", -32700), (b"{}", -32700), ("{}", -32600)):
            assert (await ask(socket, frame))["error"]["code"] == code
        assert len((await ask(socket, look))["result"]["data"]) == 3


async def test_attaching_to_a_session_and_coming_back_to_it(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        made = (await http.post("/sessions")).json()["session_id"]
        address = f"{server.ws_url}/ws?session_id={made}"
        async with connect(address) as socket:
            assert (await ask(socket, {"type": "step", "data": {"text": "a"}}))["data"]["observation"]["count"] == 1
            async with connect(address) as second:
                refused = json.loads(await second.recv())
                assert refused["data"]["code"] == "SESSION_ERROR"
                assert refused["data"]["message"] == f"Session {made} already has an attached WebSocket"
                await closes(second)
            stepped = await http.post("/step", json={"action": {"text": "b"}}, headers={"X-Session-ID": made})
            assert stepped.json()["observation"]["count"] == 2
            closing = (await http.delete(f"/sessions/{made}")).json()
            assert closing == {"session_id": made, "closed": False, "closing": True}
            assert (await ask(socket, {"type": "step", "data": {"text": "c"}}))["data"]["observation"]["count"] == 3
        async with connect(address) as late:
            assert json.loads(await late.recv())["data"]["code"] == "SESSION_ERROR"
            await closes(late)


async def test_a_session_survives_its_socket(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        made = (await http.post("/sessions")).json()["session_id"]
        for number in (1, 2, 3):
            async with connect(f"{server.ws_url}/ws?session_id={made}") as socket:
                answer = await ask(socket, {"type": "step", "data": {"text": "a"}})
                assert answer["data"]["observation"]["count"] == number
        assert (await http.get(f"/sessions/{made}")).json()["steps"] == 3
        assert (await http.delete(f"/sessions/{made}")).json() == {"session_id": made, "closed": True}


@pytest.mark.parametrize("name", ["nope", "", "../x", "%00", "x" * 3000])
async def test_an_unknown_session(server: Server, name: str) -> None:
    async with connect(f"{server.ws_url}/ws?session_id={name}") as socket:
        refused = json.loads(await socket.recv())
        assert refused["type"] == "error"
        assert refused["data"]["code"] == "SESSION_ERROR"
        assert refused["data"]["message"].startswith("Unknown session_id: ")
        await closes(socket)


async def test_the_last_slot_is_the_last(module_serve: Servers) -> None:
    server = module_serve("tests.support.toys:talker_app", cwd=ROOT)
    sockets = [await connect(f"{server.ws_url}/ws") for _ in range(8)]
    assert [(await ask(one, {"type": "state"}))["type"] for one in sockets] == ["state"] * 8
    async with connect(f"{server.ws_url}/ws") as ninth:
        refused = json.loads(await ninth.recv())
        assert refused["data"] | {"message": ""} == {
            "message": "",
            "code": "CAPACITY_REACHED",
            "active_sessions": 8,
            "max_sessions": 8,
        }
        await closes(ninth)
    async with httpx.AsyncClient(base_url=server.url) as http:
        full = await http.post("/sessions")
        assert full.status_code == 503
        assert int(full.headers["retry-after"]) >= 1
        rpc = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 20, "method": "openenv/session/create"})
        assert (rpc.json()["error"]["code"], rpc.json()["error"]["data"]["max_sessions"]) == (-32000, 8)
        assert (await http.post("/step", json={"action": {"text": "x"}})).status_code == 200
    async with connect(f"{server.ws_url}/mcp") as bare:
        assert json.loads(await bare.recv())["error"]["code"] == -32000
        await closes(bare)
    await ask(sockets[0], {"type": "state"})
    await sockets[0].send('{"type":"close"}')
    await closes(sockets[0])
    async with connect(f"{server.ws_url}/ws") as again:
        assert (await ask(again, {"type": "state"}))["type"] == "state"
    for one in sockets:
        await one.close()


async def test_a_factory_that_raises(module_serve: Servers) -> None:
    server = module_serve("tests.support.toys:file_app", cwd=ROOT)
    async with connect(f"{server.ws_url}/ws") as socket:
        refused = json.loads(await socket.recv())
        assert refused["data"] == {
            "message": "Environment factory 'FileTalker' failed to create instance.",
            "code": "FACTORY_ERROR",
            "factory_name": "FileTalker",
        }
        await closes(socket)
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("/sessions", "/reset"):
            answer = await http.post(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "FACTORY_ERROR")
    assert await active(server) == 0


async def test_deleting_a_sockets_own_session_closes_the_socket(server: Server) -> None:
    async with connect(f"{server.ws_url}/ws") as socket, httpx.AsyncClient(base_url=server.url) as http:
        await ask(socket, {"type": "step", "data": {"text": "x"}})
        (mine,) = (await http.get("/sessions")).json()["sessions"]
        assert (mine["kind"], mine["attached"], mine["steps"]) == ("socket", True, 1)
        assert (await http.delete(f"/sessions/{mine['session_id']}")).json()["closed"] is True
        await closes(socket)
    assert await active(server) == 0


async def test_deleting_it_in_the_middle_of_a_step_answers_the_step_first(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with connect(f"{server.ws_url}/ws") as socket, httpx.AsyncClient(base_url=server.url) as http:
        await ask(socket, {"type": "state"})
        (mine,) = (await http.get("/sessions")).json()["sessions"]
        await socket.send(json.dumps({"type": "step", "data": {"text": "slow", "gate": str(gate)}}))
        while not (await http.get(f"/sessions/{mine['session_id']}")).json()["busy"]:
            pass
        closing = asyncio.create_task(http.delete(f"/sessions/{mine['session_id']}"))
        while (await http.get(f"/sessions/{mine['session_id']}")).status_code == 200:
            pass
        gate.touch()
        assert json.loads(await socket.recv())["data"]["observation"]["text"] == "slow"
        assert (await closing).status_code == 200
        await closes(socket)


async def test_an_unknown_path_is_refused_at_the_handshake(server: Server) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{server.ws_url}/nothing")
    assert refused.value.response.status_code == 403


def test_nothing_was_logged_as_a_crash_but_the_talkers_own(talker: Server, plain: Server, notes: Server) -> None:
    for log in (talker.log(), plain.log(), notes.log()):
        assert log.count("Traceback") == log.count("raise KeyError(")  # in a line of JSON, or under uvicorn as it is
