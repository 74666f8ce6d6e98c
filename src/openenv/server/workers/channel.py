"""Messages between two processes of a server, over a pair of sockets that nobody else has an end of.

A message is a kind, a number, bytes, and perhaps an open file. It travels as packets of a bounded size; what does not fit into
the socket's buffer waits here.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, NamedTuple

from openenv.errors import OpenEnvError, Overloaded

__all__ = ["Channel", "Kind", "Message", "pair", "receive", "transmit"]

log = logging.getLogger("openenv.workers")

PACKET = 32_768
_HEAD = struct.Struct("!BBI")
"""Kind, whether more of the message follows, and its number."""
_AT_ONCE = 64
"""Packets that are read before others have their turn."""
_MOST_WAITING = 4096
"""Packets; a process that does not read is handed no more."""


class Kind(IntEnum):
    """What a message is."""

    CONNECTION = 1
    """A connection with what has been read of it."""
    QUESTION = 2
    ANSWER = 3
    TOLD = 4
    """Something that needs no answer."""


class Message(NamedTuple):
    """One that has arrived."""

    kind: Kind
    number: int
    payload: bytes
    fd: int | None
    """An open file, which is the receiver's to close."""

    @property
    def told(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


class _Packet(NamedTuple):
    data: bytes
    fd: int | None


class Channel:
    """One end. It reads by itself as soon as it is made; used on the event loop.

    Args:
        end: The socket (``SOCK_SEQPACKET``), from now on the channel's.
        on_message: Called with what arrives: connections, and what is told.
        on_question: Answers what is asked, with something that JSON can say.
        on_end: Called once, when the other process is gone.
    """

    def __init__(
        self,
        end: socket.socket,
        on_message: Callable[[Message], None],
        on_question: Callable[[Any], Awaitable[Any]],
        on_end: Callable[[], None],
    ) -> None:
        end.setblocking(False)
        self.closed = False
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_question = on_question
        self._on_end = on_end
        self._numbers = itertools.count(1)
        self._waiting: deque[_Packet] = deque()
        self._parts: dict[tuple[int, int], list[bytes]] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._loop.add_reader(end.fileno(), self._read)

    def tell(self, what: Any, fd: int | None = None) -> None:
        """Send something that needs no answer."""
        self.send(Kind.TOLD, json.dumps(what).encode(), fd)

    async def ask(self, question: Any, patience_s: float) -> Any:
        """The answer. Raises ``TimeoutError``, and ``ConnectionError`` when the other process is gone or cannot answer."""
        if self.closed:
            raise ConnectionError("the process is gone")
        number = next(self._numbers)
        answer = self._asked[number] = self._loop.create_future()
        try:
            self.send(Kind.QUESTION, json.dumps(question).encode(), number=number)
            async with asyncio.timeout(patience_s):
                return await answer
        finally:
            self._asked.pop(number, None)

    def send(self, kind: Kind, payload: bytes, fd: int | None = None, *, number: int | None = None) -> None:
        """Send a message. The file is duplicated. Raises `Overloaded` when too much waits, and ``ConnectionError``."""
        if self.closed:
            raise ConnectionError("the process is gone")
        if len(self._waiting) > _MOST_WAITING:
            raise Overloaded("a worker does not read what it is handed", hint="Come back in a moment.")
        number = next(self._numbers) if number is None else number
        kept = os.dup(fd) if fd is not None else None
        for start in range(0, max(len(payload), 1), PACKET):
            more = start + PACKET < len(payload)
            head = _HEAD.pack(kind, more, number)
            self._waiting.append(_Packet(head + payload[start : start + PACKET], None if more else kept))
        self._write()
        if self.closed:
            raise ConnectionError("the process is gone")

    def close(self) -> None:
        """End it; nobody is told here."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        self._end.close()
        for packet in self._waiting:
            _drop(packet.fd)
        self._waiting.clear()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the process is gone"))

    def _write(self) -> None:
        while self._waiting:
            packet = self._waiting[0]
            try:
                if packet.fd is None:
                    self._end.send(packet.data)
                else:
                    socket.send_fds(self._end, [packet.data], [packet.fd])
            except BlockingIOError:
                self._loop.add_writer(self._end.fileno(), self._write)
                return
            except OSError:
                self._ended()
                return
            self._waiting.popleft()
            _drop(packet.fd)
        self._loop.remove_writer(self._end.fileno())

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, fds, flags, _ = socket.recv_fds(self._end, PACKET + _HEAD.size, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, fds, flags = b"", [], 0
            if not data:
                self._ended()
                return
            if flags & socket.MSG_CTRUNC:
                log.error("a connection was lost: this process cannot have more files open")
                continue
            self._arrived(data, fds[0] if fds else None)
            if self.closed:
                return

    def _arrived(self, data: bytes, fd: int | None) -> None:
        kind, more, number = _HEAD.unpack_from(data)
        parts = self._parts.pop((kind, number), [])
        parts.append(data[_HEAD.size :])
        if more:
            self._parts[kind, number] = parts
            return
        message = Message(Kind(kind), number, b"".join(parts), fd)
        if message.kind is Kind.ANSWER:
            self._answered(message)
        elif message.kind is Kind.QUESTION:
            task = self._loop.create_task(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            self._on_message(message)

    def _answered(self, message: Message) -> None:
        asked = self._asked.get(message.number)
        if asked is None or asked.done():
            return
        answer = message.told
        if "error" in answer:
            asked.set_exception(ConnectionError(answer["error"]))
        else:
            asked.set_result(answer["value"])

    async def _answer(self, message: Message) -> None:
        try:
            answer = {"value": await self._on_question(message.told)}
        except Exception as error:
            log.exception("a question of another worker could not be answered")
            answer = {"error": type(error).__name__}
        if not self.closed:
            try:
                self.send(Kind.ANSWER, json.dumps(answer).encode(), number=message.number)
            except OpenEnvError:
                log.error("an answer to another worker was dropped: it does not read")

    def _ended(self) -> None:
        if not self.closed:
            self.close()
            self._on_end()


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of what becomes a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def transmit(end: socket.socket, kind: Kind, what: Any, file: socket.socket | None = None) -> None:
    """Send one message that fits into a packet, without an event loop. Raises ``OSError``."""
    data = _HEAD.pack(kind, False, 0) + json.dumps(what).encode()
    if file is None:
        end.send(data)
    else:
        socket.send_fds(end, [data], [file.fileno()])


def receive(end: socket.socket) -> dict[str, Any] | None:
    """One message that fits into a packet, as JSON, without an event loop; None at the end.

    Raises ``OSError``, and ``ValueError`` for what is none.
    """
    data = end.recv(PACKET + _HEAD.size)
    if not data:
        return None
    told = json.loads(data[_HEAD.size :])
    if not isinstance(told, dict):
        raise ValueError(f"a {type(told).__name__} is no message")
    return told


def _drop(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)
