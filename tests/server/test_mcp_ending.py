"""Standard MCP where the session ends while a message is under way: the client gets an answer that says what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from openenv import create_app
from openenv.server.core import ServerCore
from openenv.server.mcp.hosted import HostedSession
from openenv.server.mcp.standard import StandardMcp
from tests.support.mcp_toys import Bench
from tests.support.mcp_wire import ACCEPT, VERSION, Answer, answer_of

INITIALIZE = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "peer", "version": "1"}}


class Client:
    """Of an application in this process."""

    def __init__(self) -> None:
        app = create_app(Bench, log=False)
        self.core: ServerCore = app.state.openenv
        self._headers = dict(ACCEPT)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> Answer:
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
        answer = answer_of(await self.http.post("/mcp", json=message, headers=self._headers))
        if "mcp-session-id" in answer.response.headers:
            self._headers |= {"Mcp-Session-Id": answer.response.headers["mcp-session-id"], "MCP-Protocol-Version": VERSION}
        return answer

    def end_all(self) -> None:
        for session in list(self.core.manager.sessions.values()):
            self.core.manager.end(session, "its lease ran out")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    async with made.http:
        yield made
    await made.core.shutdown()


def ended(answer: Answer) -> None:
    """It says that, and is the answer to what was asked."""
    assert (answer.last["id"], answer.error["data"]["code"]) == (7, "SESSION_ERROR")
    assert "its lease ran out" in answer.error["message"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_before_the_handshake_has_begun(client: Client, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    start = HostedSession.start

    async def ending(self: HostedSession, *known: Any) -> None:
        if when == "before":
            client.end_all()
        await start(self, *known)
        client.end_all()

    monkeypatch.setattr(HostedSession, "start", ending)
    answer = await client.ask("initialize", INITIALIZE)
    assert answer.status == 404
    ended(answer)


async def test_before_the_environments_session_is_found(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seated = StandardMcp._seat_for

    async def ending(self: StandardMcp, *known: Any) -> Any:
        found = await seated(self, *known)
        client.end_all()
        return found

    monkeypatch.setattr(StandardMcp, "_seat_for", ending)
    begun = Counter[HostedSession]()
    end = HostedSession.end
    monkeypatch.setattr(HostedSession, "end", lambda self: (begun.update([self]), end(self)))
    ended(await client.ask("initialize", INITIALIZE))
    assert len(begun) == 1  # nothing of it stays


@pytest.mark.parametrize("method", ["initialize", "tools/list", "tools/call"])
async def test_while_a_message_is_answered(client: Client, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    if method != "initialize":
        assert (await client.ask("initialize", INITIALIZE)).status == 200
    handle = HostedSession._handle

    async def ending(self: HostedSession, *known: Any) -> None:
        client.end_all()
        await handle(self, *known)

    monkeypatch.setattr(HostedSession, "_handle", ending)
    answer = await client.ask(method, INITIALIZE if method == "initialize" else {"name": "look", "arguments": {}})
    assert (answer.status, answer.last["id"]) == (200, 7)
    assert "result" in answer.last or answer.error["data"]["code"] == "SESSION_ERROR"
    monkeypatch.undo()
    later = await client.ask("tools/list")
    assert later.status == 404
    ended(later)
