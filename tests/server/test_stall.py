"""A client that takes nothing is given up; while the server goes down, sooner."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from openenv.server.stall import Stall
from tests.e2e.test_hostile_clients import pour, shake_hands, text, tiny_window
from tests.support.processes import ROOT, Servers


class Peer(asyncio.Protocol):
    """The server's end of a connection, as the doors have it."""

    def __init__(self, accepted: asyncio.Future[Peer]) -> None:
        self._accepted = accepted
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.stall = Stall(transport)
        self._accepted.set_result(self)

    def pause_writing(self) -> None:
        self.stall.begin()

    def resume_writing(self) -> None:
        self.stall.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stall.end()
        self.lost.set()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Peer, socket.socket]]:
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Peer] = loop.create_future()
    async with await loop.create_server(lambda: Peer(accepted), "127.0.0.1", 0) as server:
        with await tiny_window(server.sockets[0].getsockname()[1]) as client:
            peer = await accepted
            yield peer, client
            if not peer.lost.is_set():
                peer.transport.abort()
            await peer.lost.wait()


def fill(peer: Peer) -> None:
    """Until no more fits into the kernel's buffers."""
    while not peer.transport.get_write_buffer_size():
        peer.transport.write(b"x" * 1000)


@pytest.mark.parametrize("more", [1, 1_000_000], ids=["little waits", "much waits"])
async def test_the_end_of_the_server_waits_for_nobody_who_takes_nothing(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(Stall, "PATIENCE_S", 3600.0)
    monkeypatch.setattr(Stall, "LAST_S", 0.05)
    async with connected() as (peer, _):
        fill(peer)
        peer.transport.write(b"x" * more)
        peer.transport.close()
        peer.stall.begin_last()
        await peer.lost.wait()


async def test_who_takes_something_gets_all_of_it_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stall, "LAST_S", 1.0)
    async with connected() as (peer, client):
        fill(peer)
        peer.transport.write(b"x" * 3_000_000 + b"end")
        peer.transport.close()
        peer.stall.begin_last()
        loop, end = asyncio.get_running_loop(), b""
        while part := await loop.sock_recv(client, 65_536):
            end = (end + part)[-3:]
        assert end == b"end"
        await peer.lost.wait()


@pytest.mark.e2e
@pytest.mark.parametrize("path", ["/ws", "/mcp"])
async def test_a_client_that_reads_nothing_does_not_hold_the_end_of_the_server(serve: Servers, path: str) -> None:
    """Its patience for such a client is half a minute otherwise, and its time to end ten minutes here."""
    server = serve("tests.support.loud:tool_app", "--drain", "600", cwd=ROOT)
    with await tiny_window(server.port) as client:
        await shake_hands(client, path)
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "say", "arguments": {"size": 1_000_000}}}
        await pour(client, text({"type": "mcp", "data": call} if path == "/ws" else call) * 100, most=1 << 28)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait, 25)
    assert "given up" not in server.log()
    assert "its connection is ended" in server.log()
