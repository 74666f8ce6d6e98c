"""uvicorn's WebSocket protocol with a short way in: frames of a seated socket go to a callback, not through ASGI.

The handshake, fragments, control frames, limits and the close are uvicorn's and websockets' own. What this class adds
is for whole, small text frames, which is nearly all of them: it reads them where they lie, hands the text over in the
same callback in which the bytes came, and writes the answer as one unfragmented frame. Whatever else arrives goes the
long way, once and for all where it is not a control frame.

Only `openenv.server.serve` uses it. Under any other ASGI server the same conversation goes through ASGI.
"""

from __future__ import annotations

from asyncio import BaseTransport
from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from openenv.server.conversation import DOOR
from openenv.server.outbox import Outbox
from openenv.server.stall import Stall

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

__all__ = ["Door", "Hand"]

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_WHOLE_TEXT = 0x81
_WHOLE_BINARY = 0x82
_LONGEST_SHORT_WAY = 1024 * 1024
"""Bytes of a frame: one that takes many reads is put together more cheaply by websockets."""
_MOST_FRAGMENTS = 16_384
"""Of one message."""


class Hand(Protocol):
    """What a door hands a socket's frames to."""

    def take(self, frame: Any, /) -> None:
        """A frame: a text, or bytes where the door speaks binary; None for one of the other kind."""

    def flow(self) -> None:
        """The client reads again: go on."""

    def end(self) -> None:
        """The client has said that it goes, or is given up: nobody is there any more."""


class Door(WebSocketsSansIOProtocol):
    """A WebSocket connection of ``openenv serve``."""

    clogged = False
    """Whether the client does not read what it was sent."""
    _hand: Hand | None = None
    _whole = _WHOLE_TEXT
    """The first byte of an unfragmented frame of the kind that is spoken here."""
    _short_way = False
    _rest = b""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._outbox = Outbox.of(self.loop)
        self._stall = Stall(self.transport)
        # At the level debug websockets writes down every header of a handshake, and tokens are among them.
        self.conn.debug = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stall.end()
        super().connection_lost(exc)
        self.clogged = False

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][DOOR] = self

    def speak_binary(self) -> None:
        """From now on frames are binary ones, both ways."""
        self._whole = _WHOLE_BINARY

    def give(self, hand: Hand) -> None:
        """From now on frames go to ``hand``; those that wait already go first."""
        waiting = []
        while not self.queue.empty():
            waiting.append(self.queue.get_nowait())
        for message in waiting:
            if message["type"] == "websocket.receive":
                hand.take(message.get("text" if self._whole == _WHOLE_TEXT else "bytes"))
            else:
                self.queue.put_nowait(message)
        self._hand = hand
        self._short_way = not self.frames and self.conn.max_fragment_size is None and self._between_frames()
        self.read(True)

    def _between_frames(self) -> bool:
        """Whether websockets' parser waits for the first byte of a frame: what it has half read is for the long way to end."""
        waiting: Any = self.conn.parser
        while getattr(waiting, "gi_yieldfrom", None) is not None:
            waiting = waiting.gi_yieldfrom
        return getattr(waiting, "__name__", "") == "at_eof"

    def read(self, wanted: bool) -> None:
        """Read from the socket, or leave what comes in the kernel's buffer so that the client has to wait."""
        if self.read_paused == wanted and not self.transport.is_closing():
            self.read_paused = not wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken."""
        size: int = self.transport.get_write_buffer_size()
        return size

    def drop(self) -> None:
        """End the connection of a client that does not read, and so will not see it closed."""
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.clogged = True
        self._stall.begin()
        if self._hand is not None:
            self.read(False)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.clogged = False
        self._stall.resumed()
        if self._hand is not None and not self.disconnected:
            self._hand.flow()

    def keepalive_timeout(self) -> None:
        """A pong that lies unread because the door holds its client back is not missing."""
        if self.read_paused and self.ping_timeout is not None and not self.transport.is_closing():
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        self._outbox.send()
        super().keepalive_timeout()

    def shutdown(self) -> None:
        self._outbox.send()
        super().shutdown()
        self._stall.begin_last()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= _MOST_FRAGMENTS:
            # Empty ones cost their sender next to nothing, and no limit on a message's length sees them.
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        self._outbox.send()
        super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        if self._hand is not None and not self.close_sent:
            self._hand.end()  # before its client sees that it is understood
        self._outbox.send()  # nothing may come after the close
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        self._outbox.send()
        super().handle_parser_exception()

    async def send(self, message: ASGISendEvent) -> None:
        self._outbox.send()
        await super().send(message)

    def write(self, payload: bytes, at_once: bool = False) -> None:
        """Send one frame, at the end of this turn of the loop or ``at_once``; nothing when the socket is closed."""
        if self.disconnected or self.close_sent:
            return
        length = len(payload)
        if length < 126:
            head = bytes((self._whole, length))
        elif length <= 0xFFFF:
            head = bytes((self._whole, 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((self._whole, 127)) + length.to_bytes(8, "big")
        self._outbox.put(self.transport, head + payload, at_once)

    def data_received(self, data: bytes) -> None:
        if not self._short_way:
            self._outbox.send()
            super().data_received(data)
            if self.conn.handshake_exc is not None and not self.transport.is_closing():
                # A handshake that cannot be read, such as one with a header of 10 kB: uvicorn leaves its sender waiting.
                self.transport.write(_BAD_REQUEST)
                self.transport.close()
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        position, end = 0, len(data)
        while position < end:
            if end - position < 2:
                break
            first, second = data[position], data[position + 1]
            length = second & 0x7F
            start = position + 2
            control = first & 0xF8 == 0x88 and length < 126
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[position + 2 : start], "big") if start <= end else _LONGEST_SHORT_WAY
            stop = start + 4 + length
            if not second & 0x80 or length > _LONGEST_SHORT_WAY or not (first == self._whole or control):
                self._take_the_long_way(data[position:])
                return
            if stop > end:
                break
            if control:
                self._outbox.send()
                super().data_received(data[position:stop])
                if self.transport.is_closing():
                    return
            elif not self._read_whole(data[start + 4 : stop], data[start : start + 4]):
                self._take_the_long_way(data[position:])
                return
            position = stop
        self._rest = data[position:]

    def _read_whole(self, masked: bytes, mask: bytes) -> bool:
        """Hand over a frame; False when it is a text that is not UTF-8, which is for the long way to refuse."""
        hand = self._hand
        payload = apply_mask(masked, mask)
        if self._whole == _WHOLE_TEXT:
            try:
                frame: str | bytes = payload.decode()
            except UnicodeDecodeError:
                return False
        else:
            frame = payload
        if hand is not None and not self.close_sent:
            hand.take(frame)
        return True

    def _take_the_long_way(self, data: bytes) -> None:
        self._short_way = False
        self._outbox.send()
        super().data_received(data)

    def send_receive_event_to_app(self) -> None:
        hand = self._hand
        if self.close_sent:
            super().send_receive_event_to_app()
            return
        data = b"".join(self.frames)
        text: str | None = None
        if self.curr_msg_data_type == "text":
            try:
                text = data.decode()
            except UnicodeDecodeError:
                # uvicorn would log a traceback for each of them.
                self.frames = []
                self.conn.send_close(1007)
                self.handle_parser_exception()
                return
        if hand is None:
            super().send_receive_event_to_app()
            return
        self.frames = []
        if self._whole == _WHOLE_TEXT:
            hand.take(text)
        else:
            hand.take(data if text is None else None)
