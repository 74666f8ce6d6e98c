"""Plays conversations in protocol v2."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any

import msgpack

from tests.fuzz.plan import Request, V2Talk, slot
from tests.fuzz.player import NO_CHANCE, Player, Wrong, parsed
from tests.fuzz.wire import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, frame

__all__ = ["V2Player"]


class V2Player(Player):
    """One connection."""

    async def play(self, talk: V2Talk) -> None:
        """Send every request, and find its answer among those that come."""
        self.step[0] = "the handshake of v2"
        wanted = "openenv.v2+msgpack" if talk.binary else "openenv.v2"
        async with asyncio.timeout(self.patience_s):
            socket = await WebSocket.open(self.port, "/ws", headers={"Sec-WebSocket-Protocol": wanted})
            self._open.append(socket)
            if socket.status != 101:
                raise Wrong(self.step[0], f"answered with {socket.status}")
            hello = await self._next(talk, socket)
            if hello.get("event") != "hello" or hello["data"]["protocol"] != wanted:
                raise Wrong(self.step[0], f"no hello: {hello}")
        requests = iter(talk.requests)
        for number in talk.bursts:
            burst = [next(requests) for _ in range(number)]
            self.step[0] = burst[0].what
            async with asyncio.timeout(self.patience_s):
                await self._burst(talk, burst, socket)
        async with asyncio.timeout(self.patience_s):
            await self._end(talk, socket)

    async def _burst(self, talk: V2Talk, burst: list[Request], socket: WebSocket) -> None:
        opcode = BINARY if talk.binary else TEXT
        await socket.send(b"".join(frame(self.named(one.payload), opcode, rng=NO_CHANCE) for one in burst))
        owed = list(burst)
        while owed:
            self.step[0] = owed[0].what
            answer = await self._next(talk, socket)
            if "event" in answer:
                continue
            request = _asked(owed, answer.get("id"))
            if request is None:
                raise Wrong(owed[0].what, f"an answer that nobody waits for: {str(answer)[:600]}")
            owed.remove(request)
            wrong = request.check(answer)
            if wrong:
                raise Wrong(request.what, f"{wrong}; answered {str(answer)[:600]}")
            if request.keeps is not None and "ok" in answer:
                number, key = request.keeps
                self.names[slot(number).encode()] = answer["ok"][key][0].encode()

    async def _next(self, talk: V2Talk, socket: WebSocket) -> dict[str, Any]:
        """The server's next message."""
        while True:
            opcode, payload = await socket.receive()
            if opcode == PING:
                await socket.send(frame(payload, PONG, rng=NO_CHANCE))
                continue
            if opcode == CLOSE:
                raise Wrong(self.step[0], f"closed with {payload!r}")
            if opcode != (BINARY if talk.binary else TEXT):
                raise Wrong(self.step[0], f"a frame with the opcode {opcode}")
            message = msgpack.unpackb(payload, timestamp=3) if talk.binary else parsed(payload, TEXT)
            if not isinstance(message, dict):
                raise Wrong(self.step[0], f"a message is an object: {payload[:200]!r}")
            return message

    async def _end(self, talk: V2Talk, socket: WebSocket) -> None:
        self.step[0] = f"the end: {talk.ending}"
        if talk.ending == "farewell":
            await socket.send(frame(struct.pack("!H", 1000), CLOSE, rng=NO_CHANCE))
            await socket.ended()
        elif talk.ending == "unread":
            with contextlib.suppress(EOFError):
                opcode = BINARY if talk.binary else TEXT
                await socket.send(b"".join(frame(self.named(one.payload), opcode, rng=NO_CHANCE) for one in talk.requests))
            socket.abort()
        else:
            socket.abort(reset=talk.ending == "reset")
        await socket.close()


def _asked(owed: list[Request], number: Any) -> Request | None:
    """The request that this answer is for: the good one of its id, else the first of which the id may have been lost."""
    for request in owed:
        if request.good and request.id == number:
            return request
    return next((request for request in owed if not request.good), None)
