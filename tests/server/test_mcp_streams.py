"""Streams of standard MCP: what they announce, what they hold, and how they end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.fuzz.wire import HttpSocket
from tests.support.mcp_wire import ACCEPT, MODERN, Peer, events, modern, until
from tests.support.processes import ROOT, Server, Servers

TOYS = "tests.support.mcp_toys"


@contextmanager
def _listening(http: httpx.Client, path: str = "/mcp") -> Iterator[Iterator[dict[str, Any]]]:
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"notifications": {"toolsListChanged": True}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params}
    headers = {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    with http.stream("POST", path, json=message, headers=headers) as stream:
        assert stream.status_code == 200
        yield (json.loads(data) for _, data in events(stream.iter_lines()) if data)


def test_a_session_that_ends_takes_its_client_along(http: httpx.Client, peer: Peer) -> None:
    with peer.http.stream("GET", "/mcp", headers={**ACCEPT, **peer.headers}) as stream:
        assert stream.status_code == 200
        assert http.delete(f"/sessions/{peer.session}").json()["closed"] is True
        assert list(events(stream.iter_lines())) == []
    assert peer.call("look").status == 404


def test_one_stream_for_the_server_is_enough(peer: Peer) -> None:
    headers = {**ACCEPT, **peer.headers}
    with peer.http.stream("GET", "/mcp", headers=headers) as stream:
        assert stream.status_code == 200
        assert peer.http.get("/mcp", headers=headers).status_code == 409
    assert peer.http.get("/mcp", headers={**headers, "Accept": "application/json"}).status_code == 406


def test_changed_tools_are_announced(growing: Server) -> None:
    with httpx.Client(base_url=growing.url, timeout=15) as http:
        peer = Peer(http)
        peer.initialize()
        names = [tool["name"] for tool in peer.ask("tools/list").result["tools"]]
        with http.stream("GET", "/mcp", headers={**ACCEPT, **peer.headers}) as stream:
            peer.call("grow")
            told = next(json.loads(data) for _, data in events(stream.iter_lines()) if data)
        assert told == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        assert [tool["name"] for tool in peer.ask("tools/list").result["tools"]] == [*names, "tool_0"]


def test_an_open_stream_holds_the_session_and_nothing_else_does(brief: Server) -> None:
    with httpx.Client(base_url=brief.url, timeout=15) as http:
        held, left = Peer(http), Peer(http)
        held.initialize()
        with http.stream("GET", "/mcp", headers={**ACCEPT, **held.headers}) as stream:
            assert stream.status_code == 200
            left.initialize()
            until(lambda: left.session not in http.get("/sessions").text)
            assert held.session in http.get("/sessions").text
            assert left.ask("ping").status == 404
        until(lambda: held.session not in http.get("/sessions").text)


@pytest.mark.parametrize("uvicorn", [False, True])
def test_open_streams_do_not_keep_a_server_from_ending(serve: Servers, uvicorn: bool) -> None:
    server = serve(f"{TOYS}:bench_app", cwd=ROOT, uvicorn=uvicorn)
    with httpx.Client(base_url=server.url, timeout=15) as http:
        peer = Peer(http)
        peer.initialize()
        with http.stream("GET", "/mcp", headers={**ACCEPT, **peer.headers}), _listening(http) as frames:
            assert next(frames)["method"] == "notifications/subscriptions/acknowledged"
            server.terminate()
            assert server.wait(timeout_s=15) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("handshake", [True, False])
def test_a_server_that_ends_answers_what_was_begun(serve: Servers, handshake: bool) -> None:
    server = serve(f"{TOYS}:bench_app", cwd=ROOT)
    with httpx.Client(base_url=server.url, timeout=15) as http:
        headers = dict(ACCEPT)
        params: dict[str, Any] = {"name": "nap", "arguments": {}, "_meta": {"progressToken": "p"}}
        if handshake:
            peer = Peer(http)
            peer.initialize()
            headers |= peer.headers
        else:
            headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "nap"}
            params["_meta"] |= {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        with http.stream("POST", "/mcp", json=message, headers=headers) as stream:
            messages = (json.loads(data) for _, data in events(stream.iter_lines()) if data)
            assert next(messages)["params"]["progress"] == 0
            server.terminate()
            assert next(messages)["result"]["content"][0]["text"] == "rested"
    server.wait()


def test_changed_tools_are_announced_to_those_who_listen(growing: Server) -> None:
    with httpx.Client(base_url=growing.url, timeout=15) as http, ThreadPoolExecutor(1) as beside:
        session = http.post("/sessions").json()["session_id"]
        path = f"/sessions/{session}/mcp"
        with _listening(http, path) as frames:
            assert next(frames)["method"] == "notifications/subscriptions/acknowledged"
            called = beside.submit(modern, http, "tools/call", {"name": "grow", "arguments": {}}, path)
            told = next(frames)
            assert told["method"] == "notifications/tools/list_changed"
            assert told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 7
            assert "result" in called.result().last
            assert http.delete(f"/sessions/{session}").json()["closed"] is True
            assert next(frames)["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 7


async def test_a_notification_and_the_end_of_its_session_at_once(growing: Server) -> None:
    """The notification is answered before it is taken in, and by then there may be nobody to take it."""
    client = {"name": "x", "version": "1"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    for _ in range(20):
        http = await HttpSocket.open(growing.port)
        await http.send(_post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}))
        session = (await http.receive()).headers["mcp-session-id"]
        named = f"Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n"
        note = _post({"jsonrpc": "2.0", "method": "notifications/initialized"}, named)
        end = f"DELETE /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{named}\r\n".encode()
        await http.send(note * 3 + end + b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        statuses = [(await http.receive()).status for _ in range(5)]
        assert (statuses[0], statuses[3:]) == (202, [200, 200])
        await http.close()
    assert "Traceback" not in growing.log()


def _post(message: dict[str, object], headers: str = "") -> bytes:
    body = json.dumps(message).encode()
    kinds = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    return f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n{kinds}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
