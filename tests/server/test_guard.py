"""Which hosts and origins may ask."""

from __future__ import annotations

import json

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from openenv.errors import Forbidden
from openenv.server.guard import Guard
from tests.support.mcp_wire import Peer
from tests.support.processes import ROOT, Server, Servers

LOOPBACK = ("127.0.0.1", 8000)
PUBLIC = ("192.0.2.7", 8000)


def allowed(guard: Guard, headers: dict[str, str], local: object = LOOPBACK, *, always: bool = False) -> bool:
    try:
        guard.check(headers, local, always=always)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "well"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("localhost.:80", True),
        ("127.0.0.1:1", True),
        ("127.5.5.5", True),
        ("[::1]:9000", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example/localhost", False),
        ("localhost:port", False),
        ("[::1", False),
        ("::1", False),
        ("", True),
        (":8000", False),
        ("0.0.0.0", False),
        ("192.0.2.7", False),
    ],
)
def test_hosts_at_a_loopback_address(host: str, well: bool) -> None:
    assert allowed(Guard(), {"host": host}, always=True) is well
    assert allowed(Guard(), {"host": host, "sec-fetch-site": "same-origin"}) is well
    assert allowed(Guard(), {"host": host, "accept-language": "en"}) is well, "a page's GET under a name of its own"
    assert allowed(Guard(), {"host": host}), "a program may call a server by any name"


@pytest.mark.parametrize(
    ("origin", "well"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:5173", True),
        ("http://evil.example", False),
        ("https://localhost.evil.example", False),
        ("null", False),
        ("", False),
        ("file://localhost", False),
        ("localhost", False),
        ("http://[", False),
    ],
)
def test_origins_at_a_loopback_address(origin: str, well: bool) -> None:
    assert allowed(Guard(), {"host": "localhost", "origin": origin}) is well


def test_a_public_address_is_not_guarded_unless_something_is_allowed() -> None:
    headers = {"host": "env.example", "origin": "https://anything.example"}
    assert allowed(Guard(), headers, PUBLIC, always=True)
    assert allowed(Guard(), headers, ("/run/socket", None), always=True)
    assert not allowed(Guard.of(["env.example"], None), headers, PUBLIC)
    assert allowed(Guard.of(["env.example"], None), headers | {"origin": "https://env.example"}, PUBLIC)
    assert allowed(Guard.of(None, ["https://Anything.example/"]), headers, PUBLIC)
    assert not allowed(Guard.of(None, ["https://other.example"]), headers, PUBLIC)


def test_a_socket_for_both_protocols_is_at_loopback_too() -> None:
    headers = {"host": "localhost", "origin": "http://evil.example"}
    assert not allowed(Guard(), headers, ("::ffff:127.0.0.1", 8000))
    assert allowed(Guard(), headers, ("::ffff:192.0.2.7", 8000))


def test_names_may_be_allowed() -> None:
    guard = Guard.of(["Env.example", "other.example:8443"], ["https://app.example"])
    for host, well in (("env.example:1", True), ("other.example:8443", True), ("other.example", False), ("x.example", False)):
        assert allowed(guard, {"host": host}, always=True) is well, host
    assert allowed(guard, {"host": "localhost", "origin": "https://app.example"})
    assert not allowed(guard, {"host": "localhost", "origin": "http://app.example"})
    assert allowed(Guard.of(["*"], ["*"]), {"host": "x.example", "origin": "null"}, always=True)


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.mcp_toys:open_app", "--allow-host", "more.example", cwd=ROOT)


def test_every_door_of_a_server_is_guarded(server: Server) -> None:
    with httpx.Client(base_url=server.url) as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert http.post("/mcp", json=call, headers={"Host": "evil.example"}).status_code == 200
        for headers in (
            {"Origin": "http://evil.example"},
            {"Host": "evil.example", "Origin": "http://localhost"},
            {"Host": "evil.example", "Sec-Fetch-Site": "same-origin"},
            {"Host": "evil.example", "Accept-Language": "en"},
        ):
            assert http.post("/mcp", json=call, headers=headers).status_code == 403
            assert http.get("/sessions", headers=headers).status_code == 403
        assert http.post("/mcp", json=call, headers={"Origin": "https://app.example"}).status_code == 200
        assert Peer(http, headers={"Host": "evil.example"}).initialize().status == 403
        for host in ("bench.example", "more.example:80", "localhost"):
            assert Peer(http, headers={"Host": host}).initialize().status == 200
        assert http.get("/sessions").json()["sessions"][0]["kind"] == "free"


@pytest.mark.parametrize("path", ["/ws", "/mcp"])
def test_pages_cannot_open_sockets(server: Server, path: str) -> None:
    with connect(f"{server.ws_url}{path}", origin=Origin("https://app.example")) as socket:
        socket.send('{"type": "state"}' if path == "/ws" else '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}')
        assert "error" not in json.loads(socket.recv())
    with connect(f"{server.ws_url}{path}", origin=Origin("http://evil.example")) as socket:
        assert "FORBIDDEN" in str(socket.recv())
