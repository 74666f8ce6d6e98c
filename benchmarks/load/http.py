"""Sessions over HTTP on connections that stay open: ``/step``, OpenEnv's JSON-RPC, and standard MCP; and 0.10.0's ``/step``."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

from benchmarks.load.order import Order
from benchmarks.load.talk import Talk, message, same_echo
from benchmarks.load.wire import Reply, Script, WrongAnswer, request, take_reply

__all__ = ["HttpTalk", "JsonRpcTalk", "McpTalk", "StatelessTalk"]

_OK = b"HTTP/1.1 200 OK\r\n"


class _Posts(Talk):
    """One request in flight. An answer is right when its end is the same as the first one's: of the head, dates change."""

    outlives = True

    def __init__(self, order: Order, numbers: range) -> None:
        super().__init__(order, numbers)
        (self._number,) = numbers
        self._request = b""
        self._ending = b""

    def learning(self) -> Script:
        self._request = self._step()
        raw = bytearray()

        def whole(buffer: bytearray) -> Reply | None:
            raw[:] = buffer
            return take_reply(buffer)

        reply = yield self._request, whole
        self._check(_ok(reply).json())
        self._ending = self._constant(bytes(raw))
        self.answer_bytes = len(raw)

    def _constant(self, raw: bytes) -> bytes:
        return raw[raw.index(b"\r\n\r\n") :]

    @abstractmethod
    def _step(self) -> bytes: ...

    @abstractmethod
    def _check(self, answer: Any) -> None: ...

    def ask(self) -> bytes:
        return self._request

    def right(self, data: bytes) -> bool:
        return data.endswith(self._ending) and data.startswith(_OK)

    def more(self, data: bytes) -> tuple[bytes, bytes]:
        if (reply := take_reply(bytearray(data))) is not None:
            raise WrongAnswer(f"not the answer that the first step had, with {reply.status}", reply.body)
        return data, b""

    def _post(self, path: str, body: Any, *headers: str) -> bytes:
        return request("POST", path, self.headers + headers, json.dumps(body, separators=(",", ":")).encode())


class HttpTalk(_Posts):
    """``POST /step`` in a session that ``X-Session-ID`` names."""

    def opening(self) -> Script:
        reply = yield request("POST", "/sessions", self.headers), take_reply
        if reply.status != 201:
            raise WrongAnswer(f"no session: {reply.status}", reply.body)
        self._session = reply.json()["session_id"]
        self.headers += (f"X-Session-ID: {self._session}",)
        _ok((yield self._post("/reset", {}), take_reply))

    def _step(self) -> bytes:
        return self._post("/step", {"action": {"message": message(self._number)}})

    def _check(self, answer: Any) -> None:
        same_echo(answer["observation"], self._number)

    def closing(self) -> Script:
        _ok((yield request("DELETE", f"/sessions/{self._session}", self.headers), take_reply))


class StatelessTalk(HttpTalk):
    """``POST /step`` without a session: the only one that 0.10.0 has. Each request makes an environment and closes it."""

    def opening(self) -> Script:
        _ok((yield self._post("/reset", {}), take_reply))

    def closing(self) -> Script:
        _ok((yield request("GET", "/health", self.headers), take_reply))


class JsonRpcTalk(_Posts):
    """OpenEnv's JSON-RPC on ``/mcp``: ``tools/call`` with ``session_id`` among the params, which both versions understand."""

    def opening(self) -> Script:
        answer = _ok((yield self._call("openenv/session/create", {}), take_reply)).json()
        self._session = _result(answer)["session_id"]

    def _call(self, method: str, params: dict[str, Any]) -> bytes:
        return self._post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def _step(self) -> bytes:
        arguments = {"message": message(self._number)}
        return self._call("tools/call", {"name": "echo", "arguments": arguments, "session_id": self._session})

    def _check(self, answer: Any) -> None:
        same_echo({"echoed": _result(answer)["data"]}, self._number)

    def closing(self) -> Script:
        _result(_ok((yield self._call("openenv/session/close", {"session_id": self._session}), take_reply)).json())


class McpTalk(_Posts):
    """Standard MCP over streamable HTTP, revision 2025-11-25, with a handshake; answers are streams of one event."""

    _REVISION = "2025-11-25"

    def __init__(self, order: Order, numbers: range) -> None:
        super().__init__(order, numbers)
        self.headers += ("Accept: application/json, text/event-stream",)

    def opening(self) -> Script:
        client = {"protocolVersion": self._REVISION, "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}
        reply = _ok((yield self._call("initialize", client), take_reply))
        _result(reply.json())
        self.headers += (f"Mcp-Session-Id: {reply.headers['mcp-session-id']}", f"MCP-Protocol-Version: {self._REVISION}")
        noted = yield self._post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}), take_reply
        if noted.status != 202:
            raise WrongAnswer(f"the handshake ended with {noted.status}", noted.body)

    def _call(self, method: str, params: dict[str, Any]) -> bytes:
        return self._post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def _step(self) -> bytes:
        return self._call("tools/call", {"name": "echo", "arguments": {"message": message(self._number)}})

    def _check(self, answer: Any) -> None:
        same_echo({"echoed": _result(answer)["content"][0]["text"]}, self._number)

    def _constant(self, raw: bytes) -> bytes:
        # The ids of events change too. The end of the stream is part of it.
        return raw[raw.index(b"event: message\r\n") :] if b"event: message\r\n" in raw else super()._constant(raw)

    def closing(self) -> Script:
        ended = yield request("DELETE", "/mcp", self.headers), take_reply
        if ended.status not in (200, 204):
            raise WrongAnswer(f"the session's end was answered with {ended.status}", ended.body)


def _ok(reply: Reply) -> Reply:
    if reply.status != 200:
        raise WrongAnswer(f"answered with {reply.status}", reply.body)
    return reply


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if "result" not in answer:
        raise WrongAnswer("JSON-RPC answered with an error", str(answer))
    result: dict[str, Any] = answer["result"]
    return result
