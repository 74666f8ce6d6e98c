"""One WebSocket to a server: a question, its answer, and the reason why there will be no more of them.

OpenEnv's dialect pairs answers with questions by their order alone. So whatever breaks the order (a timeout, a
cancelled call, a frame that is no answer) ends the socket, and with it the session that it owns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from openenv.client import frames
from openenv.client.address import Address
from openenv.client.handshake import handshake_failed
from openenv.client.loss import session_lost
from openenv.errors import DeadlineExceeded, SessionLost

_CLOSE_TIMEOUT_S = 5.0
_TOO_BIG = 1009


@dataclass(frozen=True, slots=True)
class Limits:
    """A socket's limits: times in seconds (``None``: none), the size of one frame in bytes."""

    connect_timeout_s: float | None
    message_timeout_s: float | None
    max_size: int | None
    ping_interval_s: float | None
    ping_timeout_s: float | None


class Socket:
    """An open WebSocket, used by one call at a time.

    Attributes:
        fresh: No answer has come yet but refusals: there may be no session behind it.
        lost: Why it is of no more use, once it is.
        stale: It was found closed by the server rather than spoiled by a call: asking again elsewhere is safe.
    """

    def __init__(self, connection: ClientConnection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self.fresh = True
        self.lost: str | None = None
        self.stale = False

    @classmethod
    async def open(cls, address: Address, session_id: str | None, headers: Mapping[str, str], limits: Limits) -> Socket:
        """Connect and shake hands.

        Raises:
            ConnectionFailed: Nobody listens there, or whoever does refuses the WebSocket.
            DeadlineExceeded: The handshake did not end within ``connect_timeout_s``.
        """
        try:
            connection = await connect(
                address.websocket_url(session_id),
                additional_headers=dict(headers),
                open_timeout=limits.connect_timeout_s,
                close_timeout=_CLOSE_TIMEOUT_S,
                ping_interval=limits.ping_interval_s,
                ping_timeout=limits.ping_timeout_s,
                max_size=limits.max_size,
                compression=None,
                proxy=None if address.is_loopback else True,
            )
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"No WebSocket handshake with {address} within {limits.connect_timeout_s} s",
                hint="Is the server overloaded, or is something else listening there? connect_timeout_s sets the limit.",
            ) from error
        except (OSError, EOFError, WebSocketException, ImportError) as error:
            raise handshake_failed(address, error) from error
        return cls(connection, limits)

    async def exchange(self, frame: bytes, expected: str) -> dict[str, Any]:
        """Send a frame and return the data of its answer, which must be of the expected type.

        Raises:
            ServerError: The answer is an error. The socket stays, unless the server closes it.
            DeadlineExceeded: No answer within ``message_timeout_s``; the socket is given up.
            SessionLost: There is no socket any more, or what came is no answer.
        """
        try:
            async with asyncio.timeout(self._limits.message_timeout_s):
                sent = await self._send(frame)
                answer: bytes = await self._connection.recv(decode=False)
            kind, data = frames.decode(answer)
        except TimeoutError:
            limit = self._limits.message_timeout_s
            self._lose(f"an answer did not come within {limit} s, and a late one could not be told from the next")
            raise DeadlineExceeded(
                f"The server did not answer within {limit} s; the connection is closed and its session is lost",
                hint="reset() opens a new session. message_timeout_s sets the limit.",
            ) from None
        except ConnectionClosed as closed:
            self.stale = _TOO_BIG not in (_code(closed.sent), _code(closed.rcvd))
            raise self._lose(_why_closed(closed, self._limits.max_size)) from closed
        except ValueError as error:
            raise self._lose(f"the server sent {error}") from None
        except BaseException:
            self._lose("a call was cancelled before its answer came")
            raise
        return self._accept(kind, data, expected, sent)

    def _accept(self, kind: str, data: dict[str, Any], expected: str, sent: bool) -> dict[str, Any]:
        if kind == "error":
            if not sent:
                # The server had closed before the question: this is its reason.
                self.stale = True
                self._lose(f"the server closed the connection: {data.get('message')} (code: {data.get('code')})")
                if not self.fresh:
                    raise session_lost(self.lost or "")
            # Raised where it is made: a local name would tie error, traceback and frame into a cycle.
            raise frames.server_error(data)
        if not sent or kind != expected:
            raise self._lose(f"the server sent a frame of type {kind!r} where {expected!r} was due")
        self.fresh = False
        return data

    async def _send(self, frame: bytes) -> bool:
        """Whether it could be sent. When the server has already closed, what it said before is still to be read."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed:
            return False
        return True

    async def close(self, *, ends_session: bool) -> None:
        """Close politely, within five seconds.

        With ``ends_session`` the server is told so and closes first, so that the session's slot is free when this returns.
        """
        self.lost = self.lost or "the client was closed"
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                if ends_session and await self._send(frames.CLOSE):
                    await self._connection.wait_closed()
                await self._connection.close()
        except TimeoutError:
            self.abort()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Drop the connection without a word; only on the loop that it runs on."""
        self._connection.transport.abort()

    def _lose(self, reason: str) -> SessionLost:
        self.lost = reason
        self.abort()
        return session_lost(reason)


def _code(close: Any) -> int | None:
    return None if close is None else close.code


def _why_closed(closed: ConnectionClosed, max_size: int | None) -> str:
    if _code(closed.sent) == _TOO_BIG and not closed.rcvd_then_sent:
        return f"the answer was larger than this client takes ({max_size} bytes; max_message_size_mb sets the limit)"
    if closed.rcvd is None:
        cause = closed.__cause__
        return f"the connection broke without a closing handshake{f' ({cause})' if cause else ''}"
    meaning = {_TOO_BIG: "the frame is larger than the server takes", 1012: "it is restarting", 1001: "it is going away"}
    reason = closed.rcvd.reason or meaning.get(closed.rcvd.code, "")
    return f"the server closed the connection with code {closed.rcvd.code}{f': {reason}' if reason else ''}"
