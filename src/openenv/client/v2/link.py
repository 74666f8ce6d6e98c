"""One WebSocket that speaks protocol v2. It lives until it breaks; what goes on over several is the channel's affair."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from openenv.client.address import Address
from openenv.client.handshake import handshake_failed
from openenv.client.v2.wire import Encoding, Hello
from openenv.errors import ConfigurationError, ConnectionFailed, DeadlineExceeded, OpenEnvError

__all__ = ["Link", "LinkLost", "LinkSettings", "NoProtocol", "is_permanent"]

log = logging.getLogger("openenv.client")

_CLOSE_TIMEOUT_S = 5.0
_FATAL = {
    1003: "the server does not take frames of this kind",
    1009: "a frame is larger than one side takes (max_message_size_mb sets this one's limit)",
}
"""Codes with which a connection closes that would end in the same way if it were opened again."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How to connect: times in seconds (``None``: none), the size of one frame in bytes."""

    address: Address
    headers: Callable[[], Mapping[str, str]]
    renews: bool
    """Whether the headers may be others the next time."""
    connect_timeout_s: float | None
    max_size: int | None
    ping_interval_s: float | None
    ping_timeout_s: float | None


class LinkLost(Exception):
    """The socket has ended; ``fatal`` when another one would end for the same reason."""

    def __init__(self, reason: str, *, fatal: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fatal = fatal


class NoProtocol(ConnectionFailed):
    """Whoever listens there knows no protocol v2: trying again is of no use."""


class Link:
    """An open socket. Frames are written in the order of `post`, and read into ``receive``.

    Attributes:
        hello: What the server said first.
        encoding: What was agreed on.
        lost: Done with a `LinkLost` as its value when the socket has ended.
    """

    def __init__(self, socket: ClientConnection, encoding: Encoding, hello: Hello, settings: LinkSettings) -> None:
        self.hello = hello
        self.encoding = encoding
        self.lost: asyncio.Future[LinkLost] = asyncio.get_running_loop().create_future()
        self._socket = socket
        self._settings = settings
        self._outbox: deque[bytes] = deque()
        self._something_to_write = asyncio.Event()
        self._all_written = asyncio.Event()
        self._all_written.set()
        self._heard = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: LinkSettings, encoding: Encoding) -> Link:
        """Connect, shake hands, and hear the server's hello.

        Raises:
            ConnectionFailed: Nobody listens there, or whoever does speaks no protocol v2.
            DeadlineExceeded: That did not end within ``connect_timeout_s``.
            OpenEnvError: The server refuses this caller; the code is the server's.
        """
        address, limit = settings.address, settings.connect_timeout_s
        try:
            async with asyncio.timeout(limit):
                socket = await _connected(settings, encoding)
                try:
                    hello = await _greeted(socket, encoding, address)
                except BaseException:
                    socket.transport.abort()
                    raise
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"No handshake with {address} within {limit} s",
                hint="Is the server overloaded, or is something else listening there? connect_timeout_s sets the limit.",
            ) from error
        return cls(socket, encoding, hello, settings)

    def start(self, receive: Callable[[bytes], None]) -> None:
        """Begin to read into ``receive``, to write, and to listen for the other side's life."""
        self._heard = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._read(receive)), asyncio.create_task(self._write())]
        if self._settings.ping_interval_s is not None:
            self._tasks.append(asyncio.create_task(self._beat(self._settings.ping_interval_s)))

    def post(self, frame: bytes) -> None:
        """Have a frame written after those that were posted before."""
        self._outbox.append(frame)
        self._something_to_write.set()
        self._all_written.clear()

    def break_off(self, reason: str, *, fatal: bool = False) -> None:
        """End the socket without a word."""
        if not self.lost.done():
            self.lost.set_result(LinkLost(reason, fatal=fatal))
        for task in self._tasks:
            task.cancel()
        self._socket.transport.abort()

    async def close(self) -> None:
        """Write what was posted, close politely, and end the tasks; within five seconds."""
        if not self.lost.done():
            self.lost.set_result(LinkLost("the client was closed"))
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._all_written.wait()
                await self._socket.close()
        except TimeoutError:
            pass
        finally:
            self.break_off("the client was closed")
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, receive: Callable[[bytes], None]) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                frame = await self._socket.recv(decode=False)
                self._heard = clock()
                receive(frame)
        except ConnectionClosed as closed:
            lost = _why_closed(closed)
            self.break_off(lost.reason, fatal=lost.fatal)
        except ValueError as error:
            self.break_off(f"the server sent {error}", fatal=True)
        except Exception as error:  # whoever waits for an answer would wait for ever
            log.exception("a frame of the server's could not be taken")
            self.break_off(f"a frame could not be taken: {error}", fatal=True)

    async def _write(self) -> None:
        outbox, send, text = self._outbox, self._socket.send, self.encoding.text
        try:
            while True:
                while outbox:
                    await send(outbox.popleft(), text=text)
                self._something_to_write.clear()
                self._all_written.set()
                await self._something_to_write.wait()
        except ConnectionClosed:
            return  # The reader knows why.
        finally:
            self._all_written.set()

    async def _beat(self, interval_s: float) -> None:
        """Ping when nothing was heard for a while. A peer that answers no ping is dead, however open its socket looks."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(0.0, self._heard + interval_s - clock()))
            if clock() < self._heard + interval_s:
                continue
            before = self._heard
            try:
                async with asyncio.timeout(self._settings.ping_timeout_s):
                    await (await self._socket.ping())
                self._heard = clock()
            except ConnectionClosed:
                return
            except TimeoutError:
                if self._heard == before:
                    self.break_off(f"the server did not answer a ping within {self._settings.ping_timeout_s} s")
                    return


async def _connected(settings: LinkSettings, encoding: Encoding) -> ClientConnection:
    address = settings.address
    try:
        return await connect(
            address.websocket_url(),
            subprotocols=[Subprotocol(encoding.subprotocol)],
            additional_headers=dict(settings.headers()),
            open_timeout=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=None,
            max_size=settings.max_size,
            max_queue=256,
            compression=None,
            proxy=None if address.is_loopback else True,
        )
    except (OSError, EOFError, WebSocketException, ImportError) as error:
        raise handshake_failed(address, error) from error


async def _greeted(socket: ClientConnection, encoding: Encoding, address: Address) -> Hello:
    if socket.subprotocol != encoding.subprotocol:
        raise NoProtocol(
            f"{address} does not speak protocol v2 in {encoding.name}",
            hint='EnvClient with protocol="openenv" speaks with every server of OpenEnv\'s, and "json" with every one of v2\'s.',
        )
    try:
        frame: bytes = await socket.recv(decode=False)
        return Hello.of(encoding.decode(frame))
    except ConnectionClosed as closed:
        raise ConnectionFailed(f"Cannot connect to {address}: {_why_closed(closed).reason}") from closed
    except ValueError as error:
        raise ConnectionFailed(f"Cannot talk to {address}: the server sent {error}") from error


def _why_closed(closed: ConnectionClosed) -> LinkLost:
    for close in (closed.sent, closed.rcvd):
        if close is not None and close.code in _FATAL:
            return LinkLost(_FATAL[close.code], fatal=True)
    if closed.rcvd is None:
        cause = closed.__cause__
        return LinkLost(f"the connection broke without a closing handshake{f' ({cause})' if cause else ''}")
    reason = f": {closed.rcvd.reason}" if closed.rcvd.reason else ""
    return LinkLost(f"the server closed the connection with code {closed.rcvd.code}{reason}")


def is_permanent(error: OpenEnvError) -> bool:
    """Whether connecting again would end in the same way."""
    return isinstance(error, NoProtocol | ConfigurationError) or error.code in _PERMANENT


_PERMANENT = frozenset({"FORBIDDEN", "UNAUTHENTICATED", "UNSUPPORTED", "VALIDATION_ERROR"})
