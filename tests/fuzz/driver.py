"""Plays conversations on running servers, many at a time, and judges what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fuzz.plan import Ask, Conversation, HttpTalk, Say, SocketTalk, Wrong, slot
from tests.fuzz.v2_plan import V2Talk
from tests.fuzz.v2_play import V2Player
from tests.fuzz.wire import BINARY, CLOSE, PING, PONG, TEXT, HttpSocket, Response, WebSocket, frame

__all__ = ["Failure", "Job", "play", "play_all"]

PATIENCE_S = 30.0
"""For how long an answer may be missing before that is a hang."""


@dataclass(frozen=True, slots=True)
class Job:
    """A conversation of a seed, on one server."""

    dialect: str
    seed: int
    number: int
    door: str
    port: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A reply, or the want of one, that no client should see."""

    job: Job
    what: str
    why: str

    def __str__(self) -> str:
        job = self.job
        again = f"python -m tests.fuzz --seed {job.seed} --dialect {job.dialect} --door {job.door} --only {job.number}"
        return f"{job.dialect} on {job.door}: {self.why}\n  sent: {self.what[:600]}\n  again: {again}"


async def play_all(talks: Iterator[tuple[Job, Conversation]], *, parallel: int, most: int = 5) -> list[Failure]:
    """Play all of them, and stop early when so many have failed."""
    failures: list[Failure] = []

    async def worker() -> None:
        for job, talk in talks:
            failure = await play(job, talk)
            if failure is not None:
                failures.append(failure)
            if len(failures) >= most:
                return

    await asyncio.gather(*(worker() for _ in range(parallel)))
    return failures


async def play(job: Job, talk: Conversation, *, patience_s: float = PATIENCE_S) -> Failure | None:
    """Play one conversation from its first byte to its last."""
    names: dict[bytes, bytes] = {}
    step = ["the connection"]
    kind: Any = V2Player if isinstance(talk, V2Talk) else _Http if isinstance(talk, HttpTalk) else _Socket
    player: Any = kind(job.port, names, step, patience_s)
    try:
        await player.play(talk)
    except Wrong as wrong:
        return Failure(job, wrong.what, wrong.why)
    except TimeoutError:
        return Failure(job, step[0], f"no answer within {patience_s:g} s")
    except EOFError as error:
        return Failure(job, step[0], f"an answer is owed, and the connection is over ({error})")
    except ValueError as error:
        return Failure(job, step[0], f"what came is not of the protocol: {error}")
    except OSError as error:
        return Failure(job, step[0], f"the server takes no connection: {error}")
    finally:
        player.leave()
    return None


class _Player:
    def __init__(self, port: int, names: dict[bytes, bytes], step: list[str], patience_s: float) -> None:
        self.port = port
        self.patience_s = patience_s
        self.names = names
        self.step = step
        """What is being waited for, for a report."""
        self._open: list[HttpSocket | WebSocket] = []

    def leave(self) -> None:
        """Abort what is still open, as after a failure."""
        for socket in self._open:
            socket.abort()

    def named(self, data: bytes) -> bytes:
        """The bytes with the ids of sessions in the places of the slots."""
        if b"session-slot-" in data:
            for placeholder, name in self.names.items():
                data = data.replace(placeholder, name)
        return data


class _Http(_Player):
    """Plays conversations over HTTP."""

    async def play(self, talk: HttpTalk) -> None:
        socket: HttpSocket | None = None
        asks = iter(talk.asks)
        for number in talk.bursts:
            burst = [next(asks) for _ in range(number)]
            self.step[0] = burst[0].what
            async with asyncio.timeout(self.patience_s):
                socket = await self._burst(burst, socket)
        if socket is None:
            socket = await HttpSocket.open(self.port)
        if talk.abandons:
            await socket.send(b"POST /step HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
            socket.abort(reset=talk.frames % 2 == 0)
        await socket.close()

    async def _burst(self, burst: list[Ask], socket: HttpSocket | None) -> HttpSocket | None:
        """Send requests at once and judge the answers; the connection to go on with, if it may be used."""
        last = burst[-1]
        fresh = socket is None
        if socket is None:
            socket = await HttpSocket.open(self.port)
            self._open.append(socket)
        answered = 0
        try:
            await socket.send(b"".join(self.named(ask.data) for ask in burst))
            for ask in burst:
                self.step[0] = ask.what
                response = await self._answer(ask, socket)
                if response is None:
                    break
                answered += 1
                self._judge(ask, response)
                if response.headers.get("connection") == "close" and ask is not last:
                    await socket.close()
                    return await self._burst(burst[answered:], None)
        except EOFError:
            if not last.ends:
                if fresh or answered:
                    raise
                # A server may end a connection that is idle; the same requests on a fresh one must be answered.
                await socket.close()
                return await self._burst(burst, None)
        if last.ends or socket.begun.headers.get("connection") == "close":
            socket.abort()
            await socket.close()
            return None
        return socket

    async def _answer(self, ask: Ask, socket: HttpSocket) -> Response | None:
        """The answer, or the head of one that has no end; None where it is right that none comes."""
        if not ask.ends:
            return await socket.receive()
        waiting = asyncio.ensure_future(socket.receive())
        for _ in range(100):
            if waiting.done() or (ask.stream and socket.begun.status):
                break
            await asyncio.wait([waiting], timeout=0.01)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        await asyncio.wait([waiting])
        return socket.begun if ask.stream and socket.begun.status else None

    def _judge(self, ask: Ask, response: Response) -> None:
        wrong = ask.check(response)
        if wrong:
            raise Wrong(ask.what, f"{wrong}; answered {response!r}")
        if ask.keeps_header is not None:
            number, name = ask.keeps_header
            self._keep(number, response.headers.get(name))
        elif ask.keeps is not None and response.status < 300:
            number, path = ask.keeps
            found: Any = json.loads(response.body)
            for key in path.split("."):
                found = found.get(key) if isinstance(found, Mapping) else None
            self._keep(number, found)

    def _keep(self, number: int, name: Any) -> None:
        if isinstance(name, str):
            self.names[slot(number).encode()] = name.encode()


class _Socket(_Player):
    """Plays conversations over a WebSocket."""

    async def play(self, talk: SocketTalk) -> None:
        if talk.before is not None:
            first = _Http(self.port, self.names, self.step, self.patience_s)
            try:
                await first.play(talk.before)
            finally:
                first.leave()
        self.step[0] = f"the handshake at {talk.path[:200]}"
        async with asyncio.timeout(self.patience_s):
            path = self.named(talk.path.encode()).decode()
            socket = await WebSocket.open(self.port, path, headers=talk.headers)
            self._open.append(socket)
            if socket.status != 101:
                raise Wrong(self.step[0], f"the handshake was answered with {socket.status}")
            if talk.refusal is not None:
                await self._refused(talk, socket)
                return
        says = iter(talk.says)
        for number in talk.bursts:
            burst = [next(says) for _ in range(number)]
            self.step[0] = burst[0].what
            async with asyncio.timeout(self.patience_s):
                if await self._burst(talk, burst, socket):
                    return
        async with asyncio.timeout(self.patience_s):
            await self._end(talk, socket)

    async def _burst(self, talk: SocketTalk, burst: list[Say], socket: WebSocket) -> bool:
        """Send frames at once and judge every reply, in order; True when the socket is closed, as it should be."""
        last = burst[-1]
        try:
            await socket.send(self.named(b"".join(say.data for say in burst)))
        except EOFError:
            if not last.ends:
                raise
        pongs = [pong for say in burst for pong in say.pongs]
        for say in burst:
            for check in say.checks:
                self.step[0] = say.what
                opcode, payload = await self._next(socket, pongs)
                if opcode != talk.reply_opcode:
                    raise Wrong(say.what, f"a frame with the opcode {opcode} came for it: {payload[:300]!r}")
                reply = _parsed(payload, opcode)
                wrong = check(reply)
                if wrong:
                    raise Wrong(say.what, f"{wrong}; answered {payload[:600]!r}")
        if not last.ends:
            while pongs:
                opcode, payload = await socket.receive()
                if opcode != PONG:
                    raise Wrong(last.what, f"nothing is owed but a pong, and this came: {opcode} {payload[:300]!r}")
                _expect_pong(pongs, payload)
            return False
        self.step[0] = last.what
        opcode, payload = await self._next(socket, pongs)
        await self._closed(opcode, payload, last, socket)
        return True

    async def _closed(self, opcode: int, payload: bytes, last: Say, socket: WebSocket) -> None:
        """The server's close frame, with one of the codes that are due; then the end of the connection."""
        if opcode != CLOSE:
            raise Wrong(last.what, f"a close was due, and this came: {opcode} {payload[:300]!r}")
        code = struct.unpack("!H", payload[:2])[0] if payload else 1005
        if code not in last.ends:
            raise Wrong(last.what, f"closed with {code} and not with {sorted(last.ends)}")
        with contextlib.suppress(EOFError):
            await socket.send(frame(payload, CLOSE))
        rest = await socket.ended()
        if rest:
            raise Wrong(last.what, f"more came after the close: {rest[:300]!r}")
        await socket.close()

    async def _next(self, socket: WebSocket, pongs: list[bytes]) -> tuple[int, bytes]:
        """The next frame that is no pong; the server's own pings are answered."""
        while True:
            opcode, payload = await socket.receive()
            if opcode == PONG:
                _expect_pong(pongs, payload)
            elif opcode == PING:
                await socket.send(frame(payload, PONG))
            else:
                return opcode, payload

    async def _refused(self, talk: SocketTalk, socket: WebSocket) -> None:
        assert talk.refusal is not None
        opcode, payload = await socket.receive()
        wrong = talk.refusal(_parsed(payload, opcode)) if opcode in (TEXT, BINARY) else f"the opcode {opcode}"
        if wrong:
            raise Wrong(self.step[0], f"{wrong}; answered {payload[:300]!r}")
        opcode, payload = await socket.receive()
        await self._closed(opcode, payload, Say(b"x", self.step[0], ends=frozenset({1000})), socket)

    async def _end(self, talk: SocketTalk, socket: WebSocket) -> None:
        """Leave, in one of the ways in which clients do."""
        self.step[0] = f"the end: {talk.ending}"
        if talk.ending == "farewell":
            code = struct.pack("!H", talk.ending_code)
            await socket.send(frame(code, CLOSE))
            opcode, payload = await self._next(socket, [])
            if opcode != CLOSE or payload[:2] != code:
                raise Wrong(self.step[0], f"a close was due, and this came: {opcode} {payload[:300]!r}")
            await socket.ended()
        elif talk.ending == "fin":
            socket.half_close()
            await socket.ended()
        elif talk.ending == "half frame":
            await socket.send(frame(b"x" * 50)[:20])
            socket.abort(reset=False)
        elif talk.ending == "unread" and talk.says:
            await socket.send(self.named(b"".join(say.data for say in talk.says if not say.ends)))
            socket.abort()
        else:
            socket.abort()
        await socket.close()


def _parsed(payload: bytes, opcode: int) -> Any:
    """The reply. A dialect of binary replies has its reading here."""
    return json.loads(payload.decode(), parse_constant=_no_constant) if opcode == TEXT else payload


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not of JSON")


def _expect_pong(pongs: list[bytes], payload: bytes) -> None:
    if not pongs or pongs.pop(0) != payload:
        raise ValueError(f"a pong that is not due: {payload[:50]!r}")
