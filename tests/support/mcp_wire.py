"""Standard MCP by hand: requests as they travel, answers as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

__all__ = ["ACCEPT", "Answer", "Peer", "events", "modern", "until"]

ACCEPT = {"Accept": "application/json, text/event-stream"}
VERSION = "2025-11-25"
MODERN = "2026-07-28"
_PREFIX = "io.modelcontextprotocol/"


@dataclass
class Answer:
    """What came back: the messages, whether as one JSON or as a stream."""

    response: httpx.Response
    messages: list[dict[str, Any]]

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def last(self) -> dict[str, Any]:
        """The answer itself; notifications come before it."""
        return self.messages[-1]

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.last["result"]
        return result

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.last["error"]
        return error


@dataclass
class Peer:
    """A client of the revisions with a handshake."""

    http: httpx.Client
    path: str = "/mcp"
    headers: dict[str, str] = field(default_factory=dict)
    version: str = VERSION
    _ids: int = 0

    def initialize(self, **params: Any) -> Answer:
        """Shake hands; later requests carry the session and the version."""
        given = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": {"name": "peer", "version": "1"}} | params
        answer = self.ask("initialize", given)
        if answer.status == 200 and "result" in answer.last:
            self.headers["Mcp-Session-Id"] = answer.response.headers["mcp-session-id"]
            self.headers["MCP-Protocol-Version"] = answer.result["protocolVersion"]
            assert self.tell("notifications/initialized").status == 202
        return answer

    @property
    def session(self) -> str:
        return self.headers["Mcp-Session-Id"]

    def ask(self, method: str, params: Mapping[str, Any] | None = None, **extra: str) -> Answer:
        """Send a request."""
        self._ids += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self._ids, "method": method}
        return self.send(message if params is None else message | {"params": params}, **extra)

    def call(self, name: str, arguments: Mapping[str, Any] | None = None, **params: Any) -> Answer:
        """Call a tool."""
        return self.ask("tools/call", {"name": name, "arguments": arguments or {}, **params})

    def tell(self, method: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Send a notification."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        return self.send(message if params is None else message | {"params": params})

    def send(self, message: Any, **extra: str) -> Answer:
        """Send anything."""
        headers = {**ACCEPT, **self.headers, **{name.replace("_", "-"): value for name, value in extra.items()}}
        return answer_of(self.http.post(self.path, json=message, headers=headers))


def modern(http: httpx.Client, method: str, params: Mapping[str, Any] | None = None, path: str = "/mcp", **extra: str) -> Answer:
    """A request of the revision without a handshake: all that it needs is in it."""
    meta = {f"{_PREFIX}protocolVersion": MODERN, f"{_PREFIX}clientCapabilities": {}}
    given = dict(params or {})
    given["_meta"] = meta | given.get("_meta", {})
    headers = {**ACCEPT, "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if "name" in given:
        headers["Mcp-Name"] = given["name"]
    headers |= {name.replace("_", "-"): value for name, value in extra.items()}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
    return answer_of(http.post(path, json=message, headers=headers))


def answer_of(response: httpx.Response) -> Answer:
    """Read a whole answer."""
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        return Answer(response, [json.loads(data) for _, data in events(response.text.splitlines()) if data])
    return Answer(response, [response.json()] if response.content else [])


def events(lines: Any) -> Iterator[tuple[str | None, str]]:
    """The id and the data of each event of a stream, as they come."""
    event_id: str | None = None
    data: list[str] | None = None
    for line in lines:
        if line.startswith("id:"):
            event_id = line[3:].strip()
        elif line.startswith("data:"):
            data = [*(data or []), line[5:].strip()]
        elif not line and data is not None:
            yield event_id, "\n".join(data)
            event_id, data = None, None


def until(condition: Callable[[], Any]) -> Any:
    """Wait for what comes by itself; the test's own timeout bounds it."""
    while not (found := condition()):
        time.sleep(0.02)
    return found
