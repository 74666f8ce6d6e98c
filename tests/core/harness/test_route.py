"""``WS /harness``: a real server, a real agent's process, a conversation in a socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from openenv.core.harness.route import HarnessSocket
from openenv.errors import Forbidden
from openenv.operation import NO_CONTEXT, Connection, Principal
from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def production(module_serve: Servers) -> Server:
    return module_serve("tests.core.harness.served:app", cwd=ROOT, uvicorn=True, env={"OPENENV_MODE": "production"})


async def told(socket: Any) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await socket.recv())
    return frame


async def turn(socket: Any, text: str) -> list[dict[str, Any]]:
    """A message, and the events of its turn."""
    await socket.send(json.dumps({"type": "message", "content": text}))
    events = [await told(socket)]
    while events[-1]["type"] not in ("turn_complete", "error"):
        events.append(await told(socket))
    return events


async def test_turns_are_streamed(production: Server) -> None:
    async with connect(f"{production.ws_url}/harness", proxy=None) as socket:
        started = await told(socket)
        assert started["type"] == "session_started", started
        assert set(started["data"]) == {"session_id", "harness"}
        events = await turn(socket, "add 2 3")
        assert [one["type"] for one in events] == ["text_output", "tool_call", "tool_result", "turn_complete"]
        assert all(set(one) == {"type", "timestamp", "data"} for one in events)


@pytest.mark.parametrize(("frame", "code"), [("not json", "INVALID_JSON"), ('{"type": "message"}', "VALIDATION_ERROR")])
async def test_what_is_no_message_is_refused_and_changes_nothing(production: Server, frame: str, code: str) -> None:
    async with connect(f"{production.ws_url}/harness", proxy=None) as socket:
        await told(socket)
        await socket.send(frame)
        refused = await told(socket)
        assert refused["type"] == "protocol_error"
        assert refused["data"]["code"] == code
        assert (await turn(socket, "add 1 1"))[-1]["type"] == "turn_complete"


async def test_a_full_server_says_so(production: Server) -> None:
    async with connect(f"{production.ws_url}/harness", proxy=None) as first:
        await told(first)
        async with connect(f"{production.ws_url}/harness", proxy=None) as second:
            assert (await told(second))["data"]["code"] == "CAPACITY_REACHED"
            with pytest.raises(ConnectionClosed) as ended:
                await second.recv()
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1000


async def test_who_comes_when_another_has_gone_finds_the_place(production: Server) -> None:
    for _ in range(30):
        async with connect(f"{production.ws_url}/harness", proxy=None) as socket:
            started = await told(socket)
            assert started["type"] == "session_started", started


async def test_closing_the_session_over_http_ends_the_conversation(production: Server) -> None:
    async with connect(f"{production.ws_url}/harness", proxy=None) as socket:
        session = (await told(socket))["data"]["session_id"]
        async with httpx.AsyncClient(base_url=production.url, trust_env=False, timeout=30) as http:
            assert (await http.delete(f"/sessions/{session}")).status_code == 200
        with pytest.raises(ConnectionClosed) as ended:
            await socket.recv()
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1000


async def test_a_conversation_is_for_those_who_may_act() -> None:
    nobody: Any = None
    watcher = Connection("harness", {}, {}, principal=Principal("watcher", scopes=frozenset({"create", "watch"})))
    with pytest.raises(Forbidden, match="'act'"):
        await HarnessSocket(nobody).seat(watcher, NO_CONTEXT)


async def test_there_is_no_such_route_in_simulation(serve: Servers) -> None:
    server = serve("tests.core.harness.served:app", cwd=ROOT, uvicorn=True)
    with pytest.raises(InvalidStatus):
        async with connect(f"{server.ws_url}/harness", proxy=None):
            pass
