"""WebSocket frames and HTTP/1.1 messages as bytes: what a client has to write and read, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from websockets.speedups import apply_mask

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "Reader",
    "Reply",
    "Script",
    "WrongAnswer",
    "answer_frame",
    "frame",
    "request",
    "take_close",
    "take_frame",
    "take_message",
    "take_reply",
    "upgrade",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_FINAL = 0x80
_MASKED = 0x80
_HANDSHAKE_KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
_KEY = b"\x37\xfa\x21\x3d"

Reader = Callable[[bytearray], Any]
"""Takes one whole message out of what has come and returns it; None when it is not whole yet."""

Script = Generator[tuple[bytes, Reader], Any, None]
"""A conversation: yields what to send and how to read the answer, and is sent the answer."""


class WrongAnswer(RuntimeError):
    """The server answered something else than it should."""

    def __init__(self, what: str, answer: bytes | bytearray | str) -> None:
        shown = answer if isinstance(answer, str) else bytes(answer[:600]).decode(errors="replace")
        super().__init__(f"{what}: {shown[:600]}")


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole, masked frame, as a client sends it."""
    return bytes([_FINAL | opcode]) + _length(len(payload), _MASKED) + _KEY + apply_mask(payload, _KEY)


def answer_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """The same as a server sends it, without a mask."""
    return bytes([_FINAL | opcode]) + _length(len(payload), 0) + payload


def _length(size: int, mask: int) -> bytes:
    if size < 126:
        return bytes([mask | size])
    if size < 0x10000:
        return bytes([mask | 126]) + size.to_bytes(2, "big")
    return bytes([mask | 127]) + size.to_bytes(8, "big")


def take_frame(buffer: bytearray) -> tuple[int, bytes] | None:
    """One whole frame of a server: its opcode and payload."""
    if len(buffer) < 2:
        return None
    size, start = buffer[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(buffer[2:start], "big")
    if len(buffer) < start + size:
        return None
    opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
    del buffer[: start + size]
    return opcode, payload


def take_message(buffer: bytearray) -> bytes | None:
    """The payload of the next frame that is no ping or pong. Raises `WrongAnswer` when the server closes instead."""
    while (found := take_frame(buffer)) is not None:
        opcode, payload = found
        if opcode == CLOSE:
            raise WrongAnswer("the server closed the socket", payload)
        if opcode in (TEXT, BINARY):
            return payload
    return None


def take_close(buffer: bytearray) -> bytes | None:
    """The payload of the close frame; what else comes is dropped."""
    while (found := take_frame(buffer)) is not None:
        if found[0] == CLOSE:
            return found[1]
    return None


class Reply(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    """With names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON; of a stream of events, the data of the last one."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return json.loads([line for line in self.body.split(b"\r\n") if line.startswith(b"data: {")][-1][6:])
        return json.loads(self.body)


def request(method: str, path: str, headers: tuple[str, ...], body: bytes = b"") -> bytes:
    """An HTTP request on a connection that stays open."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        lines.append("Content-Type: application/json")
    if method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def take_reply(buffer: bytearray) -> Reply | None:
    """One whole HTTP response, with a length or in chunks."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status, start = int(first.split()[1]), end + 4
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _take_chunks(buffer, start, status, headers)
    size = 0 if status == 101 else int(headers.get("content-length", "0"))
    if len(buffer) < start + size:
        return None
    body = bytes(buffer[start : start + size])
    del buffer[: start + size]
    return Reply(status, headers, body)


def _take_chunks(buffer: bytearray, start: int, status: int, headers: dict[str, str]) -> Reply | None:
    body = bytearray()
    while (end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:end], 16)
        start = end + 2
        if len(buffer) < start + size + 2:
            return None
        body += buffer[start : start + size]
        start += size + 2
        if size == 0:
            del buffer[:start]
            return Reply(status, headers, bytes(body))
    return None


def upgrade(path: str, headers: tuple[str, ...], protocol: str | None = None) -> Script:
    """The opening handshake of a WebSocket. Raises `WrongAnswer` unless the server agrees."""
    wanted = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_HANDSHAKE_KEY}"]
    if protocol is not None:
        wanted.append(f"Sec-WebSocket-Protocol: {protocol}")
    reply: Reply = yield request("GET", path, (*wanted, *headers)), take_reply
    if reply.status != 101 or reply.headers.get("sec-websocket-protocol") != protocol:
        raise WrongAnswer(f"the server refused the WebSocket with {reply.status}", f"{reply.headers} {reply.body!r}")
