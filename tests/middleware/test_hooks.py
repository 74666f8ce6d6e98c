"""What a middleware of one's own is called with: the order of hooks, and what docs/operations.md says of each operation."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import httpx
import pytest

from openenv.client import Connection, ToolClient
from openenv.operation import OpName
from tests.support.processes import ROOT, Server, Servers

TOLD = re.compile(r"^told (.*)$", re.MULTILINE)
BY_ROUTES = {"attach", "watch", "sessions", "issue_token", "describe", "metrics"}


@pytest.fixture
def server(serve: Servers) -> Server:
    return serve("tests.middleware.hooked:app", cwd=ROOT)


def told(server: Server) -> list[list[Any]]:
    """The hooks that were called: the middleware's name, the hook, the operation or transport, and more."""
    return [json.loads(line) for line in TOLD.findall(server.log())]


def test_the_page_has_every_operation() -> None:
    table = (ROOT / "docs" / "operations.md").read_text().partition("| `op` | in the operation |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(get_args(OpName))


@pytest.mark.e2e
async def test_hooks_are_called_in_the_chains_order_and_back(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.post("/reset", json={})).status_code == 200
        assert (await http.post("/reset", json={}, headers={"x-refuse": "admit"})).status_code == 403
        assert (await http.post("/reset", json={}, headers={"x-refuse": "before"})).status_code == 403
    calls = [(who, hook) for who, hook, *_ in told(server)]
    _, second, third = (place for place, call in enumerate(calls) if call == ("outer", "admit"))
    went, not_admitted, refused = calls[:second], calls[second:third], calls[third:]
    admitted = [("outer", "admit"), ("inner", "admit")]
    assert went == [
        *admitted,
        ("outer", "before"),
        ("inner", "before"),
        ("outer", "handle"),
        ("inner", "handle"),
        ("inner", "handled"),
        ("outer", "handled"),
        ("inner", "after"),
        ("outer", "after"),
    ]
    assert not_admitted == [("outer", "admit"), ("inner", "refused"), ("outer", "refused")]
    assert refused == [*admitted, ("outer", "before"), ("inner", "after"), ("outer", "after")]


@pytest.mark.e2e
async def test_operations_have_what_the_page_says(server: Server) -> None:
    async with ToolClient(server.url) as client:
        await client.reset()
        await client.step({"direction": "right"})
        assert await client.call_tool("look") == "shelf 1"
        await client.list_tools()
        await client.state()
    async with Connection(server.url) as connection:
        [session] = await connection.open()
        await session.reset()
        children = await session.fork(2)
        await session.restore(await session.snapshot())
        await children[0].close()
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("/sessions", "/schema", "/metrics"):
            assert (await http.get(path)).status_code == 200
        assert (await http.post("/step", content=b"{")).status_code == 422
    before, after = ([call for call in told(server) if call[:2] == ["inner", hook]] for hook in ("before", "after"))
    seen = {(op, transport): rest for _, _, op, transport, *rest in after}
    assert seen["create", "websocket"] == [False, "SessionRequest", ["session"]]
    assert seen["reset", "websocket"] == [True, "NoneType", ["observation", "episode", "seconds"]]
    assert seen["step", "websocket"] == [True, "Move", ["observation", "reward", "episode", "seconds"]]
    assert seen["call_tool", "websocket"] == [True, "tuple", ["observation", "value", "tool", "episode", "seconds"]]
    assert seen["state", "websocket"] == [True, "NoneType", ["value", "episode", "seconds"]]
    assert seen["list_tools", "websocket"] == [True, "NoneType", ["value"]]
    assert seen["fork", "v2"][2] == ["value"]
    assert seen["snapshot", "v2"][2] == ["value", "episode", "seconds"]
    assert set(seen["restore", "v2"][2]) >= {"value", "episode", "seconds"}
    assert seen["invalid", "http"] == [False, "Unprocessable", ["error"]]
    ends = [call for call in after if call[2:4] == ["close", "runtime"]]
    assert len(ends) == 4, "a session of the socket's, one of the connection's, and its two forks"
    assert all(call[4:6] == [True, "str"] for call in ends)
    assert not [call for call in before if call[3] == "runtime"]
    assert not [call for call in after if call[2] in BY_ROUTES]
    assert {call[2] for call in before} >= {"sessions", "describe", "metrics"}
