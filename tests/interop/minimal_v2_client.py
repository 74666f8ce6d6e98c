"""A client of protocol v2 in one file, written from docs/protocol.md alone: what an implementer in another language does too.

It needs the standard library and ``websockets``; ``msgpack`` only for the second encoding.

    async with Client("ws://localhost:8000/ws") as client:
        session = (await client.open())[0]
        await client.reset(session, seed=7)
        print(await client.step(session, {"message": "hello"}))
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import websockets.asyncio.client as ws
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

__all__ = ["JSON", "MSGPACK", "Client", "Request", "V2Error"]

JSON, MSGPACK = "openenv.v2", "openenv.v2+msgpack"


class V2Error(Exception):
    """What the server answered instead of ``ok``."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(f"{body['code']}: {body['message']}")
        self.code: str = body["code"]
        self.body = body


def encode(message: Mapping[str, Any], protocol: str) -> str | bytes:
    """A frame: a text for JSON, bytes for MessagePack."""
    if protocol == MSGPACK:
        import msgpack

        return msgpack.packb(message) or b""
    return json.dumps(message, default=lambda blob: base64.urlsafe_b64encode(blob).decode())


def decode(frame: str | bytes) -> dict[str, Any]:
    """The message of a frame: only MessagePack is sent as bytes."""
    if isinstance(frame, bytes):
        import msgpack

        return dict(msgpack.unpackb(frame))
    return dict(json.loads(frame))


class Request:
    """A frame that was sent: its bytes, for a repeat must have the same ones, and the answers to it."""

    def __init__(self, message: Mapping[str, Any], frame: str | bytes, sessions: Sequence[str]) -> None:
        self.id: int = message["id"]
        self.op: str = message["op"]
        self.frame, self.sessions, self.repeated = frame, sessions, False
        self.as_finished = bool(message.get("data", {}).get("as_finished"))
        self.missing: set[str | None] = {*sessions} if self.as_finished else {None}
        self._arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def take(self, answer: dict[str, Any]) -> None:
        """Keep an answer, unless it came before."""
        part = answer.get("session") if self.as_finished else None
        if part in self.missing:
            self.missing.remove(part)
        elif part is None:  # the batch as a whole was refused
            self.missing.clear()
        else:
            return
        self._arrived.put_nowait(answer)

    async def ok(self) -> Any:
        """Wait for the answer. Raises `V2Error`."""
        answer = await self._arrived.get()
        if "error" in answer:
            raise V2Error(answer["error"])
        return answer["ok"]

    async def each(self) -> AsyncIterator[dict[str, Any]]:
        """The answers of a batch as they come: each has ``session``, and ``ok`` or ``error``."""
        while self.missing or not self._arrived.empty():
            yield await self._arrived.get()


class Client:
    """Many sessions over one connection, which is made anew when it is lost; every effect happens once.

    Args:
        url: The address; with ``?session_id=ID`` that session is attached.
        offers: Subprotocols, the favourite first.
        headers: For the handshake: a token, and the context of the environment.
        patience_s: How long to try to get a new connection.
    """

    def __init__(
        self, url: str, offers: Sequence[str] = (MSGPACK, JSON), headers: Mapping[str, str] | None = None, patience_s: float = 10
    ) -> None:
        self.url, self.offers, self.headers, self.patience_s = url, offers, headers, patience_s
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sessions: set[str] = set()
        self.socket: ws.ClientConnection
        self._last_id = 0
        self._waiting: dict[int, Request] = {}
        self._subscribed: set[tuple[str, str | None]] = set()
        self._sending = asyncio.Lock()  # ids must rise on the wire
        self._closing = False
        self._failure: V2Error | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Client:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection. Its sessions live on for the length of their lease: `close` those that are done."""
        self._closing = True
        async with self._sending:
            await self.socket.close()
        if self._reader is not None:
            await self._reader

    # Frames

    async def send(
        self, op: str, session: str | None = None, data: Mapping[str, Any] | None = None, *, deadline_ms: int | None = None
    ) -> Request:
        """Send a request and do not wait for the answer."""
        async with self._sending:
            if self._failure is not None:
                raise self._failure
            request = self._request(op, session, data, deadline_ms)
            with suppress(ConnectionClosed):  # it is sent again on the next one
                await self.socket.send(request.frame)
        return request

    async def ask(self, op: str, session: str | None = None, data: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Send a request and wait for its answer: ``ping``, ``state``, ``list_tools``, ``attach`` and ``detach`` need no more."""
        return await (await self.send(op, session, data, **more)).ok()

    def _request(self, op: str, session: str | None, data: Mapping[str, Any] | None, deadline_ms: int | None = None) -> Request:
        sessions = [entry["session"] for entry in (data or {}).get("entries", [])] if session is None else [session]
        self._last_id += 1
        open_ids = [one.id for one in self._waiting.values() if not {*sessions}.isdisjoint(one.sessions)]
        ack = min(open_ids, default=self._last_id) - 1  # of these sessions, every answer up to here has come
        message = {"id": self._last_id, "op": op, "session": session, "data": data, "deadline_ms": deadline_ms}
        message = {key: value for key, value in message.items() if value is not None}
        if ack and sessions:
            message["ack"] = ack
        request = Request(message, encode(message, self.socket.subprotocol or JSON), sessions)
        self._waiting[request.id] = request
        return request

    def _receive(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self.events.put_nowait(message)
            if message["event"] in {"session_ended", "session_taken"}:
                self.sessions.discard(message["session"])
            return
        request = self._waiting.get(message["id"])
        if request is None:  # answered before the connection was lost
            return
        request.take(message)
        if not request.missing:
            del self._waiting[request.id]
        if request.op in {"close", "detach", "attach"}:
            self.sessions.difference_update(request.sessions)
        if request.op in {"attach", "open", "fork"} and "ok" in message:
            self.sessions.update(message["ok"].get("sessions", request.sessions))

    # The connection

    async def _connect(self) -> None:
        """Connect, attach every session, subscribe, and send again what was not answered, in order."""
        async with self._sending:
            self.socket = await self._dial()
            self._reader = asyncio.create_task(self._read(self.socket))
            waiting = [*self._waiting.values()]
            again = [self._request("attach", one, None) for one in self.sessions]
            again += [self._request("subscribe", session, {"events": [name]}) for name, session in self._subscribed]
            with suppress(ConnectionClosed):
                for request in again + waiting:
                    request.repeated = request in waiting
                    await self.socket.send(request.frame)

    async def _dial(self) -> ws.ClientConnection:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_s
        while True:
            try:
                offers = [Subprotocol(offer) for offer in self.offers]
                socket = await ws.connect(self.url, subprotocols=offers, additional_headers=self.headers, max_size=None)
                first = decode(await socket.recv())
                break
            except (OSError, InvalidHandshake, ConnectionClosed):
                if loop.time() > until:
                    raise
                await asyncio.sleep(0.1)
        if "error" in first:
            raise V2Error(first["error"])
        self.hello: dict[str, Any] = first["data"]
        self.offers = [socket.subprotocol or JSON]  # a repeat has the same bytes: the next connection must speak it too
        if self.hello["session"] is not None:
            self.sessions.add(self.hello["session"])
        return socket

    async def _read(self, socket: ws.ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in socket:
                self._receive(decode(frame))
        why: object = f"closed with {socket.close_code} {socket.close_reason}"
        if not self._closing and socket.close_code not in {1003, 1008, 1009}:  # these would only come again
            try:
                await self._connect()
                return
            except (OSError, InvalidHandshake, ConnectionClosed, V2Error) as error:
                why = error
        self._failure = why if isinstance(why, V2Error) else V2Error({"code": "CONNECTION_FAILED", "message": str(why)})
        for request in self._waiting.values():
            request.take({"error": self._failure.body})
        self._waiting.clear()

    # Operations

    async def open(self, count: int = 1) -> list[str]:
        """New sessions. The key makes a repeat give the same ones."""
        return list((await self.ask("open", None, {"count": count, "key": uuid.uuid4().hex}))["sessions"])

    async def reset(self, session: str, *, deadline_ms: int | None = None, **options: Any) -> Any:
        """Begin an episode."""
        return await self.ask("reset", session, options, deadline_ms=deadline_ms)

    async def step(self, session: str, action: Mapping[str, Any], *, deadline_ms: int | None = None) -> Any:
        """Act: ``observation``, ``reward``, ``done``, …"""
        return await self.ask("step", session, action, deadline_ms=deadline_ms)

    async def call_tool(self, session: str, name: str, **arguments: Any) -> Any:
        """Call a tool, as a step: its result. Raises `V2Error` where the tool said no."""
        tool = (await self.ask("call_tool", session, {"name": name, "arguments": arguments}))["tool"]
        if "error" in tool:
            raise V2Error(tool["error"])
        return tool["result"]

    async def batch(self, actions: Mapping[str, Any], *, deadline_ms: int | None = None) -> list[dict[str, Any]]:
        """A step in each of these sessions: ``ok`` or ``error`` of each, in their order."""
        entries = [{"session": session, "action": action} for session, action in actions.items()]
        return list((await self.ask("batch", None, {"entries": entries}, deadline_ms=deadline_ms))["results"])

    async def batch_as_finished(self, actions: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The same, each as soon as it is there: ``session``, and ``ok`` or ``error``."""
        entries = [{"session": session, "action": action} for session, action in actions.items()]
        request = await self.send("batch", None, {"entries": entries, "as_finished": True})
        async for answer in request.each():
            yield answer

    async def cancel(self, request: Request) -> bool:
        """Take an effect back; its own answer tells how that ended. Whether it had none yet."""
        return any([(await self.ask("cancel", session, {"id": request.id}))["found"] for session in request.sessions])

    async def snapshot(self, session: str) -> str:
        """Keep the world as it is, as long as its session lives: an id."""
        return str((await self.ask("snapshot", session))["snapshot"])

    async def export(self, session: str) -> bytes:
        """The world as signed bytes, which may outlive the session."""
        image: str | bytes = (await self.ask("snapshot", session, {"export": True}))["snapshot"]
        return image if isinstance(image, bytes) else base64.urlsafe_b64decode(image)

    async def restore(self, session: str, snapshot: str | bytes) -> Any:
        """Make the world that of an id of this session, or of exported bytes."""
        return await self.ask("restore", session, {"snapshot": snapshot})

    async def fork(self, session: str, count: int = 1, reseed: Sequence[int] | None = None) -> list[str]:
        """Copies of the world, each in a session of its own."""
        request = await self.send("fork", session, {"count": count} if reseed is None else {"count": count, "reseed": [*reseed]})
        forks = list((await request.ok())["sessions"])
        if request.repeated:  # they may be attached to the connection that was lost
            for fork in forks:
                await self.ask("attach", fork)
        return forks

    async def close(self, session: str) -> None:
        """End a session."""
        request = await self.send("close", session)
        try:
            await request.ok()
        except V2Error as error:
            if not (request.repeated and error.code == "SESSION_ERROR"):  # the first frame may have ended it
                raise

    async def subscribe(self, *names: str, session: str | None = None) -> None:
        """Have these events put into `events`."""
        await self.ask("subscribe", session, {"events": [*names]})
        self._subscribed.update((name, session) for name in names)
