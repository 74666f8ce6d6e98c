"""Sockets that send the bytes they are told to."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
from collections.abc import Mapping
from random import Random
from typing import Any

import httptools
from websockets.speedups import apply_mask

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "HttpSocket", "Response", "WebSocket", "frame"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_FIN = 0x80


def frame(
    payload: bytes, opcode: int = TEXT, *, rng: Random | None = None, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A frame as a client sends it, or should not; without chance the mask is one that changes nothing."""
    first = (_FIN if fin else 0) | reserved << 4 | opcode
    length = len(payload)
    bit = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length <= 0xFFFF:
        head = bytes((first, bit | 126)) + struct.pack("!H", length)
    else:
        head = bytes((first, bit | 127)) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    mask = bytes(4) if rng is None else rng.randbytes(4)
    return head + mask + apply_mask(payload, mask)


class _Stream:
    """A TCP connection whose bytes are read as they are needed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._buffer = bytearray()

    async def _need(self, number: int) -> bytes:
        while len(self._buffer) < number:
            await self._more()
        taken = bytes(self._buffer[:number])
        del self._buffer[:number]
        return taken

    async def _more(self) -> None:
        try:
            more = await self.reader.read(1 << 16)
        except OSError as error:
            raise EOFError(str(error)) from None
        if not more:
            raise EOFError("the server ended the connection")
        self._buffer += more

    async def send(self, data: bytes) -> None:
        """Send it; what the server takes no more is nobody's fault here."""
        self.writer.write(data)
        try:
            await self.writer.drain()
        except OSError as error:
            raise EOFError(str(error)) from None

    async def ended(self) -> bytes:
        """What still comes until the server ends the connection."""
        while True:
            try:
                await self._more()
            except EOFError:
                return bytes(self._buffer)

    def half_close(self) -> None:
        """Say that nothing more will come."""
        if self.writer.can_write_eof():
            self.writer.write_eof()

    def abort(self, *, reset: bool = True) -> None:
        """Vanish: with RST, or with FIN."""
        sock = self.writer.get_extra_info("socket")
        if self.writer.transport.is_closing():
            return
        if reset and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """End it, and wait until that is done."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return


class WebSocket(_Stream):
    """A WebSocket client without scruples."""

    status = 0

    @classmethod
    async def open(
        cls, port: int, path: str, *, headers: Mapping[str, str] | None = None, source: str = "127.0.0.1"
    ) -> WebSocket:
        """Connect and shake hands. Raises `EOFError` when the server ends the connection instead; see ``status``."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        made = cls(reader, writer)
        key = base64.b64encode(b"0123456789abcdef").decode()
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        await made.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        while (end := made._buffer.find(b"\r\n\r\n")) < 0:
            await made._more()
        made.status = int(made._buffer.split(b" ", 2)[1])
        del made._buffer[: end + 4]
        return made

    async def receive(self) -> tuple[int, bytes]:
        """The server's next frame: opcode and payload. Raises `EOFError`; `ValueError` for a frame that no server may send."""
        first, second = await self._need(2)
        if first & 0xF0 != _FIN or second & 0x80:
            raise ValueError(f"the server sent a frame that begins with {first:#x} {second:#x}")
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self._need(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self._need(8))
        return first & 0x0F, await self._need(length)


class Response:
    """An HTTP answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False

    def __repr__(self) -> str:
        return f"{self.status} {self.headers.get('content-type')} {self.body[:600]!r}"


class HttpSocket(_Stream):
    """An HTTP/1.1 client on one connection, which parses what comes and nothing else."""

    @classmethod
    async def open(cls, port: int, *, source: str = "127.0.0.1") -> HttpSocket:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._done: list[Response] = []
        self._begun = Response()
        self._parser: Any = httptools.HttpResponseParser(self)

    async def receive(self) -> Response:
        """The next answer (100 Continue is none). Raises `EOFError`; `ValueError` for what is no HTTP."""
        while not self._done:
            try:
                more = await self.reader.read(1 << 16)
            except OSError as error:
                raise EOFError(str(error)) from None
            if not more:
                raise EOFError("the server ended the connection")
            try:
                self._parser.feed_data(more)
            except httptools.HttpParserError as error:
                raise ValueError(f"the server's answer is no HTTP: {error}: {more[:200]!r}") from None
        return self._done.pop(0)

    @property
    def begun(self) -> Response:
        """What has come of an answer that has no end yet."""
        return self._begun

    def on_message_begin(self) -> None:
        self._begun = Response()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._begun.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._begun.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._begun.body += body

    def on_message_complete(self) -> None:
        self._begun.complete = True
        if self._begun.status >= 200:
            self._done.append(self._begun)
