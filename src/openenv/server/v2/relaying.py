"""Sessions of other workers: a v2 connection may hold any of the server's, wherever they live.

A frame that is about another worker's session goes there as it came, over a connection of its own with the caller's headers;
answers and events come back as they are. Who may do what is decided there. Only a batch over several workers is taken apart.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from openenv.errors import OpenEnvError, Overloaded, SessionError
from openenv.protocol.v2 import Request
from openenv.protocol.v2_answers import Body

if TYPE_CHECKING:
    from openenv.server.v2.connection import V2Connection

__all__ = ["Relays"]

log = logging.getLogger("openenv.workers")

MOST_QUEUED: Final = 64 * 1024 * 1024
"""Bytes of frames that may wait for another worker."""
_OWN_HEADERS: Final = ("host", "connection", "upgrade", "content-length", "transfer-encoding")
_ALL_SESSIONS: Final = frozenset({"subscribe", "unsubscribe"})


class Relays:
    """The ways from one connection to other workers, each made when it is first needed."""

    def __init__(self, connection: V2Connection, scope: Mapping[str, Any]) -> None:
        self._connection = connection
        self._scope = scope
        self._ways: dict[int, _Relay] = {}
        self._subscriptions: list[str | bytes] = []
        """Frames about the events of all sessions, for ways that are made later."""

    def takes(self, request: Request, frame: str | bytes) -> bool:
        """Send a frame to where it belongs; False when that is here."""
        if request.op == "batch":
            return self._batch(request, frame)
        if request.session is None:
            if request.op in _ALL_SESSIONS:
                self._subscriptions.append(frame)
                for way in self._ways.values():
                    way.send(frame, None)
            return False
        worker = self._home(request.session)
        if worker is None:
            return False
        self._way(worker).send(frame, request)
        return True

    def send(self, worker: int, request: Request, frame: str | bytes) -> None:
        """Send a frame to another worker."""
        self._way(worker).send(frame, request)

    def _home(self, session_id: str) -> int | None:
        siblings = self._connection.core.siblings
        if siblings is None or session_id in self._connection.sessions:
            return None
        return siblings.home(session_id)

    def _way(self, worker: int) -> _Relay:
        way = self._ways.get(worker)
        if way is None or way.ended:
            way = self._ways[worker] = _Relay(self._connection, self._scope, worker)
            for frame in self._subscriptions:
                way.send(frame, None)
        return way

    def _batch(self, request: Request, frame: str | bytes) -> bool:
        """Take a batch apart where it is about several workers: the parts carry the whole's digest."""
        homes = [self._home(entry.session) for entry in request.data]
        first = next((home for home in homes if home is not None), None)
        if first is None:
            return False
        if all(home == first for home in homes):
            self._way(first).send(frame, request)
            return True
        connection = self._connection
        message = connection.encoding.read(frame)
        digest = connection.doing.digest(frame)
        parts = _Parts(connection, request, len(homes))
        places: dict[int | None, list[int]] = {}
        for place, home in enumerate(homes):
            places.setdefault(home, []).append(place)
        for home, mine in places.items():
            entries = [message["data"]["entries"][place] for place in mine]
            data = message["data"] | {"entries": entries, "digest": digest}
            part = connection.encoding.written(message | {"data": data})
            sub = Request(
                request.id,
                "batch",
                None,
                [request.data[place] for place in mine],
                request.ack,
                request.deadline_ms,
                as_finished=request.as_finished,
                digest=digest,
            )
            whole = None if request.as_finished else (parts, mine)
            if home is None:
                connection.doing.part(sub, part, whole)
            else:
                self._way(home).send(part, sub, whole)
        return True

    def end(self) -> None:
        """The client is gone, and with it the ways: sessions elsewhere wait for their lease, as those here do."""
        for way in self._ways.values():
            way.end()


class _Parts:
    """The results of a batch that was taken apart."""

    def __init__(self, connection: V2Connection, request: Request, entries: int) -> None:
        self._connection = connection
        self._request = request
        self._bodies: list[Body | None] = [None] * entries
        self._left = entries

    def put(self, places: list[int], bodies: list[Body]) -> None:
        """Some of the results; with the last ones the batch is answered."""
        for place, body in zip(places, bodies, strict=True):
            self._bodies[place] = body
        self._left -= len(places)
        if not self._left:
            encoding = self._connection.encoding
            self._connection.answer(self._request, encoding.results([body for body in self._bodies if body]))


class _Relay:
    """One connection to another worker."""

    def __init__(self, connection: V2Connection, scope: Mapping[str, Any], worker: int) -> None:
        self._connection = connection
        self._scope = scope
        self._worker = worker
        self._queue: deque[str | bytes] = deque()
        self._queued = 0
        self._more = asyncio.Event()
        self._asked: Counter[tuple[int | None, str | None]] = Counter()
        """Requests without an answer: id and session. A batch has no session, and its entries have theirs where they are
        answered one by one."""
        self._batches: dict[int | None, tuple[_Parts, list[int]]] = {}
        self._silent: set[int | None] = set()
        """Ids whose answers are for nobody: the client has them from here."""
        self.ended = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, frame: str | bytes, request: Request | None, parts: tuple[_Parts, list[int]] | None = None) -> None:
        """Send a frame there; its answers go to the client, or into the whole of a batch. Without a request they go nowhere."""
        if request is None:
            self._silent.add(self._connection.encoding.read(frame).get("id"))
        elif self._queued > MOST_QUEUED:
            raise Overloaded("too much waits for another worker", hint="Wait for answers.")
        else:
            if parts is not None:
                self._batches[request.id] = parts
            for asked in self._keys(request):
                self._asked[asked] += 1
                self._connection.count(1)
        self._queue.append(frame)
        self._queued += len(frame)
        self._more.set()

    @staticmethod
    def _keys(request: Request) -> list[tuple[int | None, str | None]]:
        if request.op == "batch" and request.as_finished:
            return [(request.id, entry.session) for entry in request.data]
        return [(request.id, request.session)]

    def end(self) -> None:
        """Nothing goes there any more."""
        self._task.cancel()

    async def _run(self) -> None:
        why: OpenEnvError | None = None
        try:
            async with await self._open() as way:
                sending = asyncio.get_running_loop().create_task(self._send(way))
                try:
                    await self._receive(way)
                finally:
                    sending.cancel()
        except (OSError, WebSocketException, ConnectionClosed, TimeoutError) as error:
            log.error("the way to worker %d has ended: %s", self._worker, error or type(error).__name__)
        except OpenEnvError as error:
            why = error
        finally:
            self._lost(why or SessionError("the worker process that had it is gone", hint="Open a new one."))

    async def _open(self) -> ClientConnection:
        siblings = self._connection.core.siblings
        assert siblings is not None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._scope["headers"]
            if name.decode("latin-1") not in _OWN_HEADERS and not name.startswith(b"sec-websocket")
        ]
        query = {name: value for name, value in self._connection.connection.query.items() if name != "session_id"}
        host = self._connection.connection.headers.get("host", "localhost")
        way = await connect(
            f"ws://{host}/ws" + (f"?{urlencode(query)}" if query else ""),
            sock=siblings.dial(self._worker, self._scope),
            subprotocols=[self._connection.encoding.name],  # type: ignore[list-item]
            additional_headers=headers,
            user_agent_header=None,
            compression=None,
            max_size=None,
            ping_interval=None,
            proxy=None,
        )
        hello = self._connection.encoding.read(await way.recv())
        if "error" in hello:
            await way.close()
            raise _error_of(hello["error"])
        return way

    async def _send(self, way: ClientConnection) -> None:
        while True:
            while self._queue:
                frame = self._queue.popleft()
                await way.send(frame)
                self._queued -= len(frame)
            self._more.clear()
            await self._more.wait()

    async def _receive(self, way: ClientConnection) -> None:
        connection = self._connection
        async for frame in way:
            while connection.line.clogged and not connection.lost:  # noqa: ASYNC110 - the other worker has to wait meanwhile
                await asyncio.sleep(0.01)
            self._pass_on(frame)

    def _pass_on(self, frame: str | bytes) -> None:
        connection = self._connection
        message = connection.encoding.read(frame)
        written = frame if isinstance(frame, bytes) else frame.encode()
        if "event" in message:
            connection.write(written)
            return
        number, session = message["id"], message.get("session")
        if number in self._silent and session is None:
            self._silent.discard(number)
            return
        if self._asked[(number, session)] > 0:
            self._asked[(number, session)] -= 1
            connection.count(-1)
        parts = self._batches.pop(number, None) if session is None else None
        if parts is None:
            connection.write(written)
            return
        whole, places = parts
        if "ok" in message:
            whole.put(places, [connection.encoding.body(one) for one in message["ok"]["results"]])
        else:
            whole.put(places, [connection.encoding.body(message)] * len(places))

    def _lost(self, why: OpenEnvError) -> None:
        """Whoever still waits for an answer gets this one."""
        self.ended = True
        connection = self._connection
        body = connection.encoding.error(why)
        for (number, session), count in self._asked.items():
            for _ in range(count):
                connection.count(-1)
                parts = self._batches.pop(number, None) if session is None else None
                if parts is not None:
                    parts[0].put(parts[1], [body] * len(parts[1]))
                else:
                    connection.answer(Request(number, "invalid", session), body)
        self._asked.clear()


def _error_of(body: Mapping[str, Any]) -> OpenEnvError:
    error = OpenEnvError(str(body.get("message", "")), hint=body.get("hint"))
    error.code = str(body.get("code", error.code))
    error.told = True
    return error
