"""Clients that read slowly or not at all, that vanish, that flood: each alone pays for it.

During each attack another client's session goes on and gets the right answers, the server's memory stays where it was,
and afterwards the attacker has no session and no file descriptor left, though its own end is still open.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.fuzz.wire import CLOSE, CONTINUATION, PING, PONG, HttpSocket, WebSocket, frame
from tests.support.processes import ROOT, Server, Servers
from tests.support.usage import active_sessions, open_files, resident_kb

pytestmark = pytest.mark.e2e

RNG = Random(1)
ENOUGH_KB = 64 * 1024
"""By how much a server may grow under an attack that would like to make it grow by gigabytes."""


@dataclass
class Attacked:
    """A server, and a client of it that does nothing bad."""

    server: Server
    bystander: ClientConnection
    files: int
    memory_kb: int
    steps: int = 0
    enough_kb: int = ENOUGH_KB

    async def goes_on(self, times: int = 20) -> None:
        """The good client is answered."""
        for _ in range(times):
            self.steps += 1
            await self.bystander.send(json.dumps({"type": "step", "data": {"text": str(self.steps), "size": 10}}))
            answer = json.loads(await self.bystander.recv())
            assert answer["data"]["observation"]["text"] == str(self.steps)
        grown = resident_kb(self.server.pid) - self.memory_kb
        assert grown < self.enough_kb, f"the server grew by {grown} KiB"

    async def shakes_off(self, *, files: bool = True) -> None:
        """Nobody but the good client has a session (or a file) any more, and it is answered still."""

        def alone() -> bool:
            return active_sessions(self.server.url) == 1 and (not files or open_files(self.server.pid) <= self.files)

        while not await asyncio.to_thread(alone):
            await self.goes_on(1)
            await asyncio.sleep(0.05)
        await self.goes_on()


def start(serve: Servers, door: str, app: str, *options: str, files: int | None = None) -> Server:
    """A server with little patience behind this door."""
    limited = [] if files is None else ["prlimit", f"--nofile={files}"]
    command = [*limited, sys.executable, "-m", "tests.support.impatient", door, f"tests.support.loud:{app}", *options]
    return serve.start(command, env=os.environ, cwd=ROOT)


def start_patient(serve: Servers, door: str, app: str) -> Server:
    """As it is in life."""
    options = ["--no-access-log"] if door == "asgi" else []
    return serve(f"tests.support.loud:{app}", *options, cwd=ROOT, uvicorn=door == "asgi")


@asynccontextmanager
async def attacked(server: Server) -> AsyncIterator[Attacked]:
    """A server with a good client. Afterwards nothing is left of anybody, and nothing crashed."""
    files = open_files(server.pid)
    async with connect(f"{server.ws_url}/ws", max_size=None) as bystander:
        known = Attacked(server, bystander, 0, 0)
        await known.goes_on(200)
        await until(lambda: active_sessions(server.url) == 1)
        known.files, known.memory_kb = open_files(server.pid), resident_kb(server.pid)
        yield known
    await until(lambda: active_sessions(server.url) == 0 and open_files(server.pid) <= files)
    log = server.log()
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
    assert "never retrieved" not in log


@asynccontextmanager
async def hung(script: str, url: str, there: Callable[[], bool]) -> AsyncIterator[None]:
    """A client in a process that hangs once the script has said that it is there, and the server says so too."""
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", script, url, stdin=pipe, stdout=pipe)
    try:
        assert client.stdout is not None
        assert await client.stdout.readline() == b"here\n"
        await until(there)
        client.send_signal(signal.SIGSTOP)
        yield
    finally:
        client.kill()
        await client.wait()


async def until(condition: Callable[[], bool]) -> None:
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process does not tell
        await asyncio.sleep(0.05)


def text(message: Any) -> bytes:
    return frame(json.dumps(message).encode(), rng=RNG)


def step(size: int = 0, words: str = "") -> bytes:
    return text({"type": "step", "data": {"text": words, "size": size}})


async def tiny_window(port: int) -> socket.socket:
    """A connection that takes next to nothing at a time."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    return client


async def shake_hands(client: socket.socket, path: str, *headers: str) -> None:
    """Become a WebSocket, and read no more than that."""
    loop = asyncio.get_running_loop()
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", *headers, "", ""]
    await loop.sock_sendall(client, "\r\n".join(lines).encode())
    assert (await loop.sock_recv(client, 4096)).startswith(b"HTTP/1.1 101")


async def pour(client: socket.socket, data: bytes, *, most: int, patience_s: float = 3.0) -> int:
    """Send until the server takes no more, or ends the connection, or has taken so much; how much it took."""
    loop = asyncio.get_running_loop()
    sent = 0
    try:
        while sent < most:
            await asyncio.wait_for(loop.sock_sendall(client, data), patience_s)
            sent += len(data)
    except (TimeoutError, OSError):
        pass
    return sent


@pytest.mark.parametrize("app", ["inline_app", "thread_app"])
@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_client_that_asks_for_much_and_reads_nothing(serve: Servers, door: str, app: str) -> None:
    server = start(serve, door, app)
    async with attacked(server) as known:
        clients = [await tiny_window(server.port) for _ in range(5)]
        for client in clients:
            await shake_hands(client, "/ws")
        pouring = [asyncio.create_task(pour(client, step(1_000_000) * 100, most=1 << 30)) for client in clients]
        await known.goes_on()
        await asyncio.gather(*pouring)
        await known.goes_on()
        await known.shakes_off(files=door == "fast")  # uvicorn keeps the socket as long as its client does
        for client in clients:
            client.close()
    if door == "fast":
        assert "took nothing of" in server.log()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_client_of_the_mcp_socket_that_reads_nothing(serve: Servers, door: str) -> None:
    server = start(serve, door, "tool_app")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "say", "arguments": {"size": 1_000_000}}}
    before = resident_kb(server.pid)
    client = await tiny_window(server.port)
    await shake_hands(client, "/mcp")
    await pour(client, text(call) * 100, most=1 << 30)
    assert resident_kb(server.pid) - before < ENOUGH_KB
    await until(lambda: active_sessions(server.url) == 0)
    assert "Traceback" not in server.log()
    client.close()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_slow_reader_gets_everything(serve: Servers, door: str) -> None:
    """It is slow for longer than a client may read nothing at all."""
    patience_s, pause_s = 4.0, 0.3
    server = start(serve, door, "inline_app", "60", str(patience_s))
    async with attacked(server) as known:
        slow = await WebSocket.open(server.port, "/ws")
        sending = asyncio.create_task(slow.send(b"".join(step(1_000_000, str(number)) for number in range(16))))
        number = 0
        while number < 16:
            opcode, payload = await slow.receive()
            if opcode == PING:
                await slow.send(frame(payload, PONG, rng=RNG))
                continue
            assert json.loads(payload)["data"]["observation"]["text"] == str(number)
            number += 1
            await known.goes_on(1)
            await asyncio.sleep(pause_s)
        assert number * pause_s > patience_s
        await sending
        slow.abort()
        await known.shakes_off()


HALF_OPEN = """
import sys
from websockets.sync.client import connect
sockets = [connect(sys.argv[1] + "/ws") for _ in range(20)]
for one in sockets:
    one.send('{"type":"step","data":{"text":"x"}}')
    one.recv()
print("here", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_client_that_hangs_without_a_word(serve: Servers, door: str) -> None:
    """Its kernel goes on to take what is sent, as behind a proxy that has lost its other side."""
    server = start(serve, door, "inline_app")
    async with attacked(server) as known, hung(HALF_OPEN, server.ws_url, lambda: active_sessions(server.url) == 21):
        await known.shakes_off()


@pytest.mark.parametrize("app", ["inline_app", "thread_app"])
@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_hundred_thousand_frames_at_once(serve: Servers, door: str, app: str) -> None:
    server = start_patient(serve, door, app)
    number = 100_000 if app == "inline_app" else 20_000
    async with attacked(server) as known:
        flood = await WebSocket.open(server.port, "/ws")
        sending = asyncio.create_task(flood.send(step(0, "x") * number))
        for answered in range(number):
            opcode, payload = await flood.receive()
            assert opcode == 1
            assert b'"text":"x"' in payload
            if answered % 10_000 == 0:
                await known.goes_on(1)
        await sending
        flood.abort()
        await known.shakes_off()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_flood_of_pings(serve: Servers, door: str) -> None:
    server = start_patient(serve, door, "inline_app")
    async with attacked(server) as known:
        flood = await WebSocket.open(server.port, "/ws")
        sending = asyncio.create_task(flood.send(frame(b"p" * 100, PING, rng=RNG) * 50_000))
        for answered in range(50_000):
            assert await flood.receive() == (PONG, b"p" * 100)
            if answered % 10_000 == 0:
                await known.goes_on(1)
        await sending
        flood.abort()
        await known.shakes_off()


async def test_more_connections_than_there_are_files_for(serve: Servers) -> None:
    """Those that say nothing are ended when they have said nothing for a while, and others get in again."""
    server = start(serve, "fast", "inline_app", files=128)
    async with attacked(server) as known:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(400)]
        await known.goes_on()
        await until(lambda: active_sessions(server.url) == 1)
        other = await WebSocket.open(server.port, "/ws")
        await other.send(step(0, "hello"))
        assert b"hello" in (await other.receive())[1]
        other.abort()
        await known.shakes_off()
        for one in silent:
            one.close()


async def test_handshakes_that_take_for_ever(serve: Servers) -> None:
    server = start(serve, "fast", "inline_app")
    async with attacked(server) as known:

        async def dribble() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            answer = asyncio.create_task(reader.read())
            while not answer.done():
                writer.write(b"x")
                await asyncio.wait([answer], timeout=0.1)
            writer.close()
            return answer.result()

        slow = [asyncio.create_task(dribble()) for _ in range(100)]
        await known.goes_on()
        for answer in await asyncio.gather(*slow, return_exceptions=True):
            assert isinstance(answer, OSError) or (isinstance(answer, bytes) and answer.startswith(b"HTTP/1.1 408 "))
        await known.shakes_off()


@pytest.mark.parametrize(
    "endless",
    [b"X-Another: " + b"x" * 1000 + b"\r\n", b"x" * 1000, b"X: y\r\n" * 200],
    ids=["headers", "one header", "short headers"],
)
async def test_a_head_without_an_end(serve: Servers, endless: bytes) -> None:
    server = start(serve, "fast", "inline_app")
    async with attacked(server) as known:
        client = await tiny_window(server.port)
        await asyncio.get_running_loop().sock_sendall(client, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        assert await pour(client, endless * 64, most=1 << 30) < 16 << 20
        await known.goes_on()
        client.close()
        await known.shakes_off()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_a_body_without_an_end(serve: Servers, door: str) -> None:
    server = start(serve, door, "inline_app")
    async with attacked(server) as known:
        client = await HttpSocket.open(server.port)
        await client.send(b"POST /step HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (1 << 20, b"x" * (1 << 20))
        for _ in range(17):
            await client.send(chunk)
        answer = await client.receive()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        await known.goes_on()
        if door == "fast":
            with pytest.raises(EOFError):  # noqa: PT012 - at any of them
                for _ in range(1000):
                    await client.send(chunk)
        client.abort()
        await known.shakes_off()


async def test_a_body_that_takes_for_ever(serve: Servers) -> None:
    server = start(serve, "fast", "inline_app")
    async with attacked(server) as known:
        client = await HttpSocket.open(server.port)
        await client.send(b"POST /step HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n")
        answer = asyncio.create_task(client.receive())
        while not answer.done():
            await client.send(b" ")
            await asyncio.wait([answer], timeout=0.1)
        assert answer.result().status == 408
        await known.goes_on()
        dribbling = True
        while dribbling:
            try:
                await client.send(b" ")
                await asyncio.sleep(0.1)
            except EOFError:
                dribbling = False
        client.abort()
        await known.shakes_off()


@pytest.mark.parametrize(("door", "size"), [("fast", 1 << 20), ("fast", 0), ("asgi", 1 << 20)])
async def test_a_message_in_fragments_without_an_end(serve: Servers, door: str, size: int) -> None:
    """Empty fragments are in no limit of bytes, and the message grows all the same."""
    server = start(serve, door, "inline_app")
    piece = frame(b"x" * size, CONTINUATION, fin=False, rng=RNG)

    async def flooded() -> tuple[int, bytes]:
        client = await WebSocket.open(server.port, "/ws")
        await client.send(frame(b"", fin=False, rng=RNG))

        async def flood() -> None:
            with pytest.raises(EOFError):  # noqa: PT012 - at any of them
                for _ in range(1 << 30 if size == 0 else 1 << 12):
                    await client.send(piece * (1 if size else 10_000))

        flooding = asyncio.create_task(flood())
        try:
            return await client.receive()
        except EOFError:  # while the client still sends, the kernel's reset may overtake the close
            return 0, b""
        finally:
            client.abort()
            await flooding

    async with attacked(server) as known:
        answers = [await flooded()]
        while answers[-1][0] != CLOSE and len(answers) < 10:
            answers.append(await flooded())
        opcode, payload = answers[-1]
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, 1009)
        await known.goes_on()
        await known.shakes_off()


async def test_requests_whose_answers_nobody_reads(serve: Servers) -> None:
    server = start(serve, "fast", "inline_app")
    async with attacked(server) as known:
        clients = [await tiny_window(server.port) for _ in range(10)]
        request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        some = [asyncio.create_task(pour(client, request, most=10_000)) for client in clients[:5]]
        many = [asyncio.create_task(pour(client, request * 2000, most=1 << 28)) for client in clients[5:]]
        await known.goes_on()
        await asyncio.gather(*some, *many)
        await known.shakes_off()
        for client in clients:
            client.close()


async def test_requests_ahead_of_their_answers(serve: Servers) -> None:
    server = start(serve, "fast", "inline_app")
    async with attacked(server) as known:
        client = await HttpSocket.open(server.port)
        request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        await client.send(request * 60)
        for _ in range(60):
            assert (await client.receive()).status == 200
        await client.send(request * 60)
        for _ in range(60):
            assert (await client.receive()).status == 200
        await client.send(request * 5000)
        with pytest.raises(EOFError):  # noqa: PT012 - after any of them
            for _ in range(5000):
                assert (await client.receive()).status == 200
        await known.shakes_off()


@pytest.mark.parametrize("door", ["fast", "asgi"])
async def test_streams_of_mcp_that_nobody_reads(serve: Servers, door: str) -> None:
    server = start(serve, door, "tool_app")
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    first = await HttpSocket.open(server.port)
    await first.send(rpc({"method": "initialize", "params": hello}))
    session = (await first.receive()).headers["mcp-session-id"]
    await first.send(rpc({"method": "notifications/initialized"}, session, note=True))
    await first.receive()
    before = resident_kb(server.pid)
    clients = [await tiny_window(server.port) for _ in range(5)]
    call = {"name": "go_on", "arguments": {"times": 5000, "size": 10_000}, "_meta": {"progressToken": 1}}
    for number, client in enumerate(clients):
        sent = rpc({"method": "tools/call", "params": call, "id": number + 10}, session)
        await asyncio.get_running_loop().sock_sendall(client, sent)
    await asyncio.sleep(2)
    assert resident_kb(server.pid) - before < ENOUGH_KB
    await first.send(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert (await first.receive()).status == 200
    first.abort()
    if door == "asgi":
        for client in clients:
            client.close()
    await until(lambda: active_sessions(server.url) == 0)
    for client in clients:
        client.close()
    assert "Traceback" not in server.log()


def rpc(message: dict[str, Any], session: str | None = None, *, note: bool = False) -> bytes:
    """A request of standard MCP."""
    body = json.dumps({"jsonrpc": "2.0"} | ({} if note else {"id": 1}) | message).encode()
    lines = ["POST /mcp HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines.append("Accept: application/json, text/event-stream")
    if session is not None:
        lines += [f"Mcp-Session-Id: {session}", "MCP-Protocol-Version: 2025-11-25"]
    return "\r\n".join([*lines, "", ""]).encode() + body
