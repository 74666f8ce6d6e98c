"""Conversations over HTTP: the routes, OpenEnv's JSON-RPC and standard MCP on ``POST /mcp``."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.fuzz import judge
from tests.fuzz.messages import action, plain, rpc_call
from tests.fuzz.plan import Ask, Check, HttpTalk, slot
from tests.fuzz.values import Hostile, write
from tests.fuzz.wire import Response

__all__ = ["HttpDialect", "RpcDialect", "StandardMcpDialect", "request"]


def request(method: str, path: str, body: bytes | None = None, headers: list[tuple[str, str]] | None = None) -> bytes:
    """An HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers or ())]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (body or b"")


def chunked(rng: Random, method: str, path: str, body: bytes, headers: list[tuple[str, str]]) -> bytes:
    """The same with its body in pieces."""
    head = request(method, path, None, [*headers, ("Transfer-Encoding", "chunked")])
    cut = rng.randrange(min(len(body), 5) + 1)  # within no slot
    pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _talk(rng: Random, asks: list[Ask]) -> HttpTalk:
    """The requests in bursts: what another one needs is waited for."""
    bursts: list[int] = []
    open_burst = 0
    for ask in asks:
        alone = ask.keeps or ask.keeps_header or ask.ends or ask.stream
        if alone and open_burst:
            bursts.append(open_burst)
            open_burst = 0
        open_burst += 1
        if alone or rng.random() < 0.7:
            bursts.append(open_burst)
            open_burst = 0
    if open_burst:
        bursts.append(open_burst)
    return HttpTalk(asks, bursts, abandons=rng.random() < 0.1)


def _lapsed(response: Response) -> bool:
    """Whether the session's lease ran out meanwhile, as on a machine that is busy."""
    return response.status == 404 and b"no request for" in response.body


def _is(status: int, read: Any = None, expected: Any = None) -> Check:
    """The answer has this status, and ``read`` finds ``expected`` in its JSON."""

    def check(response: Response) -> str | None:
        wrong = judge.http(response)
        if wrong or _lapsed(response):
            return wrong
        if response.status != status:
            return f"expected {status}"
        return None if read is None else judge.answered(read, expected, lambda _: None)(json.loads(response.body))

    return check


class HttpDialect:
    """The routes: sessions, episodes, grading, tasks, probes, and requests of no sense."""

    share = 2.5
    targets = ("thread", "async", "tool")

    def conversation(self, rng: Random, target: str) -> HttpTalk:
        """Requests in any order, on two sessions that may not be there."""
        asks: list[Ask] = []
        alive: set[int] = set()
        asks += [self._ask(rng, target, alive) for _ in range(rng.choice((1, 3, 10, 25)))]
        ended = [slot(number) for number in sorted(alive) if rng.random() < 0.7]
        asks += [Ask(request("DELETE", f"/sessions/{session}"), "DELETE", _is(200)) for session in ended]
        return _talk(rng, asks)

    def _ask(self, rng: Random, target: str, alive: set[int]) -> Ask:
        chosen = rng.random()
        number = rng.randrange(2)
        if chosen < 0.12 and number not in alive:
            alive.add(number)
            made = request("POST", "/sessions", b"")
            return Ask(made, "POST /sessions", _is(201), keeps=(number, "session_id"))
        if chosen < 0.17 and number in alive:
            alive.discard(number)
            return Ask(request("DELETE", f"/sessions/{slot(number)}"), "DELETE", _is(200, lambda r: r["closed"], True))
        if chosen < 0.3:
            return self._probe(rng)
        if chosen < 0.36:
            return self._nonsense(rng)
        return self._operation(rng, target, slot(number), live=number in alive)

    def _probe(self, rng: Random) -> Ask:
        path, status = rng.choice(_PROBES)
        method = "GET" if rng.random() < 0.9 else rng.choice(("HEAD", "PUT", "PATCH", "OPTIONS", "POST", "QUIRK"))
        check: Check = _is(status) if status and method == "GET" else judge.http
        return Ask(request(method, path), f"{method} {path}", check, ends=method in ("HEAD", "QUIRK"))

    def _operation(self, rng: Random, target: str, session: str, *, live: bool) -> Ask:
        """An operation with its body, good or spoilt."""
        hostile = Hostile(rng)
        kind = rng.choice(_OPERATIONS)
        made, read, expected = action(rng, target)
        method, path, body, check = kind(rng, target, session, made)
        headers = [("X-Session-ID", session)] if rng.random() < 0.9 else []
        if path == "/step" and live and headers:
            check = _is(200, lambda r: read(r["observation"]), expected)
        if not live and headers and (path in ("/step", "/reset", "/state") or "/sessions/" in path):
            check = judge.http
        content = None if body is None else write(body).encode()
        if body is not None and rng.random() < 0.6:
            content, check = hostile.written(hostile.spoilt(body)).encode(), judge.http
            if rng.random() < 0.1:
                content = rng.choice((b"", b"\xff\xfe", b"\x00", content[:-1] + b"\xc3", rng.randbytes(20)))
        if rng.random() < 0.15:
            headers.append((rng.choice(_HEADERS), rng.choice(("", "x", "\u00ff", "x" * 3000, "../..", "%00", '"', "default"))))
            check = judge.http
        if content is not None and rng.random() < 0.1:
            return Ask(chunked(rng, method, path, content, headers), f"{method} {path} in chunks {content!r}", check)
        return Ask(request(method, path, content, headers), f"{method} {path} {content!r}", check)

    def _nonsense(self, rng: Random) -> Ask:
        data = rng.choice(_NONSENSE)
        path = "/" + "/".join(Hostile(rng).text() for _ in range(rng.randrange(4)))
        if data is None:
            quoted = "".join(c if c.isalnum() or c in "/%.-_~'();,:@&=+$" else f"%{b:02X}" for c in path for b in c.encode()[:1])
            return Ask(request("GET", quoted), f"GET {quoted}", judge.http, ends=True)
        return Ask(data, repr(data[:200]), judge.http, ends=True)


def _reset(rng: Random, target: str, session: str, made: Any) -> Any:
    body = rng.choice(({}, {"seed": rng.randrange(1000)}, {"episode_id": "e"}, {"note": "x"}))
    return "POST", "/reset", body, judge.http if "seed" in body else _is(200)  # a scenario fixes the seed


def _step(rng: Random, target: str, session: str, made: Any) -> Any:
    return "POST", "/step", {"action": made} | rng.choice(({}, {"request_id": "r"}, {"timeout_s": 5})), _is(200)


def _state(rng: Random, target: str, session: str, made: Any) -> Any:
    return "GET", "/state", None, _is(200)


def _show(rng: Random, target: str, session: str, made: Any) -> Any:
    return "GET", f"/sessions/{session}", None, judge.http


def _scenario(rng: Random, target: str, session: str, made: Any) -> Any:
    setup = [{"tool": "things_add", "arguments": {"name": "a"}}] if target == "tool" else []
    body = {"id": "s", "task": "do it", "seed": 0, "setup": setup, "max_steps": 1000, "verifiers": [_VERIFIER]}
    return "POST", f"/sessions/{session}/scenario", body, judge.http


def _verify(rng: Random, target: str, session: str, made: Any) -> Any:
    return "POST", f"/sessions/{session}/verify", {"response": "done", "verifiers": [_VERIFIER]}, judge.http


def _sql(rng: Random, target: str, session: str, made: Any) -> Any:
    queries = ("SELECT * FROM things", "SELECT 1", "DROP TABLE things", "SELECT 1; SELECT 2", "PRAGMA x", "SELECT nothing", "")
    return "POST", f"/sessions/{session}/sql", {"query": rng.choice(queries)}, judge.http


def _tokens(rng: Random, target: str, session: str, made: Any) -> Any:
    return "POST", f"/sessions/{session}/tokens", {"scopes": ["act"], "ttl_s": 60}, judge.http


def _database(rng: Random, target: str, session: str, made: Any) -> Any:
    return "GET", f"/sessions/{session}/database?at={rng.choice(('final', 'initial', 'never'))}", None, judge.http


def _tasks(rng: Random, target: str, session: str, made: Any) -> Any:
    split = {"split": "train"}
    one, some = split | {"index": rng.randrange(-5, 5)}, split | {"start": 0, "stop": 2}
    path, body = rng.choice([("tasks", split), ("num_tasks", split), ("task", one), ("task_range", some)])
    return "POST", f"/target/{path}", body, judge.http


_PROBES = [
    ("/health", 200), ("/metadata", 200), ("/schema", 200), ("/list_environments", 200), ("/openapi.json", 200),
    ("/metrics", 200), ("/docs", 200), ("/sessions", 200), ("/target/splits", None), ("/nothing/splits", 404), ("/", 404),
]  # fmt: skip
_VERIFIER = {
    "verifier_type": "database_state",
    "validation_config": {"query": "SELECT COUNT(*) FROM things", "expected_value": 1},
}
_OPERATIONS = [_reset, _reset, _step, _step, _step, _step, _state, _show, _scenario, _verify, _sql, _tokens, _database, _tasks]
_HEADERS = [
    "X-Session-ID", "x-room", "Authorization", "traceparent", "X-Request-ID", "Content-Type", "Accept", "Cookie", "Expect",
    "Origin", "Connection", "X-Forwarded-For",
]  # fmt: skip
_HOST = b"Host: 127.0.0.1\r\n"
_NONSENSE: list[bytes | None] = [
    None, None, None,
    b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"GET /health HTTP/1.0\r\n\r\n", b"get /health HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /health HTTP/1.1\r\nNo Colon\r\n\r\n", b"GET /health HTTP/1.1\r\nA: \x00\r\n\r\n",
    b"GET http://127.0.0.1/health HTTP/1.1\r\n" + _HOST + b"\r\n", b"GET /health?\xff\xfe HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /ws HTTP/1.1\r\n" + _HOST + b"\r\n", b"POST /ws HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\n\r\n{}",
    b"GET /ws HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /nowhere HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /ws HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 12\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    b"GET /ws HTTP/1.1\r\n" + _HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: short\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + _HOST + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Content-Length: x\r\n\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Content-Length: -1\r\n\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Content-Length: 99999999999999999999\r\n\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Content-Length: 20000000\r\n\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /step HTTP/1.1\r\n" + _HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /health HTTP/1.1\r\n" + _HOST + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"GET /health HTTP/1.1\r\n" + _HOST + b"".join(b"X-%d: 1\r\n" % number for number in range(500)) + b"\r\n",
]  # fmt: skip


class RpcDialect:
    """OpenEnv's JSON-RPC on ``POST /mcp``."""

    share = 1.0
    targets = ("tool", "tool", "thread")

    def conversation(self, rng: Random, target: str) -> HttpTalk:
        """A session over JSON-RPC, or none, and calls in it."""
        asks: list[Ask] = []
        named = rng.random() < 0.6
        if named:
            create = b'{"jsonrpc":"2.0","id":1,"method":"openenv/session/create"}'
            check = _rpc(judge.answered(lambda r: len(r["result"]["session_id"]), 36, judge.rpc))
            asks.append(Ask(request("POST", "/mcp", create), "openenv/session/create", check, keeps=(0, "result.session_id")))
        session = slot(0) if named else None
        asks += [self._call(rng, target, session) for _ in range(rng.choice((1, 3, 8, 15)))]
        if named and rng.random() < 0.8:
            close = {"jsonrpc": "2.0", "id": 2, "method": "openenv/session/close", "params": {"session_id": slot(0)}}
            asks.append(Ask(request("POST", "/mcp", write(close).encode()), "openenv/session/close", _rpc(judge.rpc)))
        return _talk(rng, asks)

    def _call(self, rng: Random, target: str, session: str | None) -> Ask:
        hostile = Hostile(rng)
        message, check = rpc_call(rng, target, session=session)
        content = write(message).encode()
        whole: Check = _rpc(check)
        if rng.random() < 0.55:
            content = hostile.written(hostile.spoilt(message)).encode()
            whole = judge.http if b"initialize" in content or b"discover" in content else judge.rpc_response()
            if rng.random() < 0.05:
                content = rng.choice((b"", b"[]", b"\xff", b"[" + content + b"]", b"null"))
        path = "/mcp" if session is None or rng.random() < 0.8 else f"/sessions/{session}/mcp"
        if rng.random() < 0.1:
            return Ask(chunked(rng, "POST", path, content, []), f"POST {path} in chunks {content!r}", whole)
        return Ask(request("POST", path, content), f"POST {path} {content!r}", whole)


def _rpc(check: Check) -> Check:
    def checked(response: Response) -> str | None:
        if response.status != 200:
            return f"the status {response.status}"
        body = json.loads(response.body)
        error = body.get("error") or {}
        if "no request for" in str(error.get("message")):
            return None
        return check(body)

    return checked


_BOTH = ("Accept", "application/json, text/event-stream")
_JSON = ("Content-Type", "application/json")


class StandardMcpDialect:
    """MCP itself over streamable HTTP, with and without a handshake."""

    share = 0.35
    targets = ("tool", "tool", "thread")

    def conversation(self, rng: Random, target: str) -> HttpTalk:
        """A handshake or none, calls, streams, and the end of the session or none."""
        version = rng.choice(("2025-06-18", "2025-11-25", "2025-11-25"))
        asks: list[Ask] = []
        headers = [_JSON, _BOTH]
        if rng.random() < 0.7:
            client = {"name": "fuzz", "version": "1"}
            params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
            hello = write({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode()
            made = request("POST", "/mcp", hello, headers)
            asks.append(Ask(made, "initialize", _is_stream, keeps_header=(0, "mcp-session-id")))
            headers = [*headers, ("Mcp-Session-Id", slot(0)), ("MCP-Protocol-Version", version)]
            note = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
            asks.append(Ask(request("POST", "/mcp", note, headers), "initialized", _mcp))
        asks += [self._call(rng, headers, version) for _ in range(rng.choice((1, 3, 8)))]
        if rng.random() < 0.6:
            asks.append(Ask(request("DELETE", "/mcp", None, headers), "DELETE /mcp", judge.http))
        return _talk(rng, asks)

    def _call(self, rng: Random, headers: list[tuple[str, str]], version: str) -> Ask:
        hostile = Hostile(rng)
        if rng.random() < 0.08:
            return Ask(request("GET", "/mcp", None, headers), "GET /mcp", judge.http, stream=True, ends=True)
        params: dict[str, Any] = {"name": rng.choice(("things_say", "nothing")), "arguments": {"anything": plain(rng)}}
        method = rng.choice(("tools/call", "tools/call", "tools/list", "ping", "server/discover", "resources/list", "initialize"))
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": rng.randrange(1000), "method": method, "params": params}
        if rng.random() < 0.3:
            meta = {"io.modelcontextprotocol/protocolVersion": rng.choice((version, "2026-07-28", "1999-01-01"))}
            message["params"] = params | {"_meta": meta}
        content = write(message).encode()
        if rng.random() < 0.5:
            content = hostile.written(hostile.spoilt(message)).encode()
        if rng.random() < 0.15:
            headers = [one for one in headers if rng.random() < 0.6]
            name = rng.choice(("Mcp-Session-Id", "MCP-Protocol-Version", "Accept"))
            headers.append((name, rng.choice(("", "x", "*/*", "2026-07-28"))))
        return Ask(request("POST", "/mcp", content, headers), f"POST /mcp {content!r} {headers}", _mcp)


def _mcp(response: Response) -> str | None:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return _is_stream(response)
    return judge.http(response)


def _is_stream(response: Response) -> str | None:
    """A stream of JSON-RPC messages, or one of them."""
    if response.status != 200:
        return f"the status {response.status}"
    lines = response.body.decode().splitlines()
    data = [line[5:].strip() for line in lines if line.startswith("data:")] or [response.body.decode()]
    for one in filter(None, data):
        message = json.loads(one)
        if message.get("jsonrpc") != "2.0":
            return "a stream of MCP has JSON-RPC messages"
    return None
