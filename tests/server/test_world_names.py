"""An environment's fault in finding a world's name is told at every door as its own, and ends nothing."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.interop.minimal_v2_client import JSON
from tests.support.mcp_wire import ACCEPT, VERSION, Peer
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import Wire

pytestmark = pytest.mark.e2e

WHY = "integer division or modulo by zero"


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.v2_odd_toys:misnamed_app", cwd=ROOT)


def is_told(error: dict[str, Any]) -> None:
    assert (error["code"], error["message"]) == ("EXECUTION_ERROR", WHY)


@pytest.mark.parametrize(("method", "path"), [("POST", "/sessions"), ("POST", "/reset"), ("GET", "/state")])
def test_over_http(server: Server, method: str, path: str) -> None:
    answer = httpx.request(method, f"{server.url}{path}?number=0")
    assert answer.status_code == 500
    is_told(answer.json()["error"])


@pytest.mark.parametrize("method", ["tools/call", "openenv/session/create"])
def test_over_json_rpc(server: Server, method: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "any"}}
    answer = httpx.post(f"{server.url}/mcp?number=0", json=message)
    assert answer.status_code == 200
    is_told(answer.json()["error"]["data"])


def test_over_mcp(server: Server) -> None:
    with httpx.Client(base_url=server.url, headers=ACCEPT) as http:
        answer = Peer(http, "/mcp?number=0", version=VERSION).initialize()
    assert answer.status == 500
    is_told(answer.error["data"])


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
async def test_on_a_socket(server: Server, path: str) -> None:
    async with connect(f"{server.ws_url}{path}?number=0") as socket:
        told = json.loads(await socket.recv())
        is_told(told["data"] if path == "/ws" else told["error"]["data"])
        await socket.wait_closed()
        assert socket.close_code == 1000


async def test_over_v2(server: Server) -> None:
    async with Wire(f"{server.ws_url}/ws?number=0", JSON) as wire:
        is_told((await wire.ask(id=1, op="open"))["error"])
        assert await wire.ask(id=2, op="ping") == {"id": 2, "ok": {}}
    assert "Exception in ASGI" not in server.log()
