"""The short way into ``/ws``: hand-made frames, whole, broken, fragmented and hostile."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import ROOT, Server, Servers

STEP = {"type": "step", "data": {"message": "hi"}}


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("echo")


@pytest.fixture(scope="module")
def talker(module_serve: Servers) -> Server:
    return module_serve("tests.support.toys:talker_app", cwd=ROOT)


def frame(payload: bytes, *, first: int = 0x81, masked: bool = True, size: int | None = None, mask: bytes = b"") -> bytes:
    length = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length <= 0xFFFF:
        head = bytes((first, bit | 126)) + struct.pack("!H", length)
    else:
        head = bytes((first, bit | 127)) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    mask = mask or os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def text(message: Any, *, mask: bytes = b"") -> bytes:
    return frame(json.dumps(message).encode(), mask=mask)


class Raw:
    """A WebSocket client that sends the bytes it is told to."""

    def __init__(self, server: Server, path: str = "/ws") -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(65536)
        self.buffer = self.buffer.split(b"\r\n\r\n", 1)[1]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def need(self, number: int) -> bytes:
        while len(self.buffer) < number:
            more = self.socket.recv(1 << 20)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:number], self.buffer[number:]
        return taken

    def receive(self) -> tuple[int, bytes]:
        first, second = self.need(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.need(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.need(8))
        return first & 0x0F, self.need(length)

    def answer(self) -> dict[str, Any]:
        opcode, payload = self.receive()
        assert opcode == 1
        body: dict[str, Any] = json.loads(payload)
        return body

    def close_code(self) -> int:
        while True:
            opcode, payload = self.receive()
            if opcode == 8:
                return int(struct.unpack("!H", payload[:2])[0])


@pytest.fixture
def raw(server: Server) -> Iterator[Raw]:
    client = Raw(server)
    yield client
    client.socket.close()


def echoed(answer: dict[str, Any]) -> str:
    said: str = answer["data"]["observation"]["echoed"]
    return said


@pytest.mark.parametrize("length", [0, 1, 80, 125, 126, 127, 65_400, 65_535, 65_536, 200_000, 999_990])
def test_messages_of_every_length_of_header(raw: Raw, length: int) -> None:
    for _ in range(2):
        message = "ü" + "x" * length
        raw.send(text({"type": "step", "data": {"message": message}}))
        assert echoed(raw.answer()) == message


@pytest.mark.parametrize("length", [2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_whitespace_makes_a_frame_longer_and_means_nothing(raw: Raw, length: int) -> None:
    for _ in range(2):
        raw.send(frame(json.dumps(STEP).encode().ljust(length)) + text(STEP))
        assert [echoed(raw.answer()) for _ in range(2)] == ["hi", "hi"]


def test_a_frame_that_comes_byte_by_byte(raw: Raw) -> None:
    for byte in text({"type": "step", "data": {"message": "x" * 200}}):
        raw.send(bytes((byte,)))
    assert echoed(raw.answer()) == "x" * 200


def test_many_frames_in_one_segment_are_answered_in_order(raw: Raw) -> None:
    raw.send(b"".join(text({"type": "step", "data": {"message": str(number)}}) for number in range(500)))
    assert [echoed(raw.answer()) for _ in range(500)] == [str(number) for number in range(500)]


def test_pipelining_into_a_thread_is_answered_in_order(talker: Server) -> None:
    client = Raw(talker)
    client.send(b"".join(text({"type": "step", "data": {"text": str(number)}}) for number in range(200)))
    assert [client.answer()["data"]["observation"]["text"] for _ in range(200)] == [str(number) for number in range(200)]
    client.socket.close()


def test_fragments_with_a_ping_between_them(raw: Raw) -> None:
    raw.send(text(STEP))
    assert echoed(raw.answer()) == "hi"
    body = json.dumps(STEP).encode()
    raw.send(frame(body[:5], first=0x01) + frame(b"p", first=0x89) + frame(body[5:9], first=0x00))
    assert raw.receive() == (10, b"p")
    raw.send(frame(body[9:], first=0x80))
    assert echoed(raw.answer()) == "hi"
    raw.send(text(STEP))
    assert echoed(raw.answer()) == "hi"


@pytest.mark.parametrize("cut", [1, 3, 7, 14, 100, 101])
def test_a_frame_that_began_before_the_socket_had_a_session(serve: Servers, tmp_path: Path, cut: int) -> None:
    server = serve("tests.support.toys:gated_app", cwd=ROOT)
    # Masked with this, the text of the step looks like empty frames, wherever one begins to read.
    whole = text({"type": "step", "data": {"text": "x" * 70_000}}, mask=bytes((0x81 ^ 0x78, 0x80 ^ 0x78)) * 2)
    client = Raw(server, f"/ws?gate={tmp_path / 'gate'}")
    client.send(whole[:cut])
    (tmp_path / "gate").touch()
    while not httpx.get(f"{server.url}/sessions").json()["sessions"]:
        time.sleep(0.01)
    client.send(whole[cut:] + text({"type": "step", "data": {"text": "y"}}))
    assert [client.answer()["data"]["observation"]["text"] for _ in range(2)] == ["x" * 70_000, "y"]
    client.socket.close()


def test_what_was_answered_goes_before_the_close_and_nothing_after_it(raw: Raw) -> None:
    raw.send(text(STEP))
    assert echoed(raw.answer()) == "hi"
    body = json.dumps(STEP).encode()
    raw.send(frame(body[:5], first=0x01) + frame(body[5:], first=0x80) + text(STEP) + frame(b"\x03\xe8", first=0x88) + text(STEP))
    assert [echoed(raw.answer()) for _ in range(2)] == ["hi", "hi"]
    assert raw.receive() == (8, b"\x03\xe8")
    with pytest.raises((EOFError, ConnectionResetError)):
        raw.receive()


def test_pings_are_answered_between_steps(raw: Raw) -> None:
    raw.send(text(STEP))
    assert echoed(raw.answer()) == "hi"
    raw.send(text(STEP) + frame(b"a", first=0x89) + text(STEP))
    assert echoed(raw.answer()) == "hi"
    assert raw.receive() == (10, b"a")
    assert echoed(raw.answer()) == "hi"


def test_a_binary_frame_is_refused_and_the_socket_stays(raw: Raw) -> None:
    raw.send(frame(b"{}", first=0x82))
    assert raw.answer()["data"]["code"] == "VALIDATION_ERROR"
    raw.send(text(STEP))
    assert echoed(raw.answer()) == "hi"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"{}", masked=False), 1002),
        (frame(b"{}", first=0xC1), 1002),
        (frame(b"{}", first=0x83), 1002),
        (frame(b"x", first=0x80), 1002),
        (frame(b"{}", first=0x01) + frame(b"{}", first=0x81), 1002),
        (frame(b"x" * 200, first=0x89), 1002),
        (frame(b"\xff\xfe"), 1007),
        (frame(b"", size=20 * 1024 * 1024), 1009),
        (frame(b"\x03\xe8bye", first=0x88), 1000),
    ],
    ids=["unmasked", "reserved", "opcode", "continuation", "text-in-fragments", "long-ping", "no-utf8", "20-MB", "close"],
)
def test_what_breaks_the_protocol_closes_the_socket_with_its_code(server: Server, data: bytes, code: int) -> None:
    client = Raw(server)
    client.send(text(STEP) + data)
    assert client.close_code() == code
    client.socket.close()
    again = Raw(server)
    again.send(text(STEP))
    assert echoed(again.answer()) == "hi"
    again.socket.close()


def test_a_client_that_stops_sending_still_gets_its_answers(server: Server) -> None:
    for _ in range(20):
        client = Raw(server)
        client.send(text(STEP))
        assert echoed(client.answer()) == "hi"
        client.send(text(STEP) * 3)
        client.socket.shutdown(socket.SHUT_WR)
        assert [echoed(client.answer()) for _ in range(3)] == ["hi"] * 3
        client.socket.close()


def test_what_follows_a_close_is_not_played(server: Server) -> None:
    client = Raw(server)
    client.send(text(STEP) + text({"type": "close"}) + text(STEP) * 50)
    assert echoed(client.answer()) == "hi"
    assert client.receive()[0] == 8
    client.socket.close()


@pytest.mark.parametrize("farewell", [frame(b"\x03\xe8", first=0x88), text({"type": "close"})], ids=["frame", "message"])
def test_the_session_is_let_go_before_the_client_sees_the_close(serve: Servers, tmp_path: Path, farewell: bytes) -> None:
    """A client that has closed and comes again, perhaps to another worker, finds that it has given up its place."""
    server = serve("tests.support.toys:ended_app", cwd=ROOT)
    client = Raw(server, f"/ws?log={tmp_path / 'log'}")
    client.send(text({"type": "step", "data": {"text": "x"}}))
    client.answer()
    client.send(farewell)
    assert client.receive() == (8, b"\x03\xe8")
    assert (tmp_path / "log").read_text() == "ended"
    client.socket.close()


async def held_back(client: Raw, block: bytes, limit: int) -> bool:
    """Whether the server stops taking this block again and again before so many bytes."""
    client.socket.setblocking(False)
    loop = asyncio.get_running_loop()
    sent = 0
    try:
        while sent < limit:
            await asyncio.wait_for(loop.sock_sendall(client.socket, block), 1.0)
            sent += len(block)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("flood", ["steps", "pings"])
async def test_a_client_that_never_reads_is_held_back_and_the_others_are_not(server: Server, flood: str) -> None:
    client = await asyncio.to_thread(Raw, server)
    client.send(text(STEP))
    assert echoed(await asyncio.to_thread(client.answer)) == "hi"
    step = text({"type": "step", "data": {"message": "x" * 30_000}})
    block = step if flood == "steps" else frame(b"x" * 125, first=0x89) * 2000
    assert await held_back(client, block, 64 * 1024 * 1024)
    other = await asyncio.to_thread(Raw, server)
    other.send(text(STEP))
    assert echoed(await asyncio.to_thread(other.answer)) == "hi"
    other.socket.close()
    client.socket.close()


async def test_what_waits_for_a_slow_step_is_bounded_in_bytes(talker: Server, tmp_path: Path) -> None:
    client = await asyncio.to_thread(Raw, talker)
    gate, block = tmp_path / "gate", frame(b" " * 8_000_000)
    client.send(text({"type": "step", "data": {"text": "x"}}))
    await asyncio.to_thread(client.answer)
    client.send(text({"type": "step", "data": {"text": "x", "gate": str(gate)}}))
    assert await held_back(client, block, 128 * 1024 * 1024)
    gate.touch()
    client.socket.close()


def test_a_handshake_that_cannot_be_read_is_refused_and_not_left_waiting(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        lines = ["GET /ws HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", f"Cookie: {'x' * 10_000}"]
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        said = b"".join(iter(lambda: client.recv(65536), b""))
    assert said.startswith(b"HTTP/1.1 400 ")
