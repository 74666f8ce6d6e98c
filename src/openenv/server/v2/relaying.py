"""Sessions of other workers: a v2 connection may hold any of the server's, wherever they live.

A frame that is about another worker's session goes there as it came, over a connection of its own with the caller's headers;
answers and events come back as they are. Who may do what is decided there. Only a batch over several workers is taken apart.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from openenv.errors import IdReused, OpenEnvError, Overloaded, SessionError
from openenv.protocol.v2 import EVENTS, Request
from openenv.protocol.v2_answers import Body
from openenv.server.v2.asked import Batch

if TYPE_CHECKING:
    from openenv.server.v2.connection import V2Connection

__all__ = ["Relays"]

log = logging.getLogger("openenv.workers")

MOST_QUEUED: Final = 64 * 1024 * 1024
"""Bytes of frames that may wait for another worker."""
_OWN_HEADERS: Final = ("host", "connection", "upgrade", "content-length", "transfer-encoding")
_ALL_SESSIONS: Final = frozenset({"subscribe", "unsubscribe"})
_ANYWHERE: Final = EVENTS - {"step", "draining"}
"""Events of other workers' sessions that one may hear of without naming one; that the server goes down is told from here."""
_OPENING_S: Final = 10.0
"""How long another worker may take to let a connection in."""
_OURS: Final = 2**53 - 1
"""The id of what is asked for the client and answered to it from here."""
_HOST: Final = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?", re.ASCII)


class Relays:
    """The ways from one connection to other workers, each made when it is first needed."""

    def __init__(self, connection: V2Connection, scope: Mapping[str, Any]) -> None:
        self._connection = connection
        self._scope = scope
        self._ways: dict[int, _Relay] = {}
        self._wanted: set[str] = set()
        """The events of all sessions that the client wants, for ways that are made later."""
        self._running: dict[int | None, _Split] = {}
        """Batches that were taken apart and have no answer yet, by their ids."""

    def takes(self, request: Request, frame: str | bytes) -> bool:
        """Send a frame to where it belongs; False when that is here."""
        if request.op == "batch":
            return self._batch(request, frame)
        if request.session is None:
            if request.op in _ALL_SESSIONS:
                self._listen(request.op, _ANYWHERE.intersection(request.data.events))
            return False
        worker = self._home(request.session)
        if worker is None:
            return False
        self._way(worker).send(frame, request)
        return True

    def _listen(self, op: str, events: Iterable[str]) -> None:
        """Subscribe, or no longer, in the other workers too."""
        if op == "subscribe":
            self._wanted.update(events)
        else:
            self._wanted.difference_update(events)
        for way in self._ways.values():
            way.listen(op, events)

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
            way.listen("subscribe", self._wanted)
        return way

    def _batch(self, request: Request, frame: str | bytes) -> bool:
        """Take a batch apart where it is about several workers: the parts carry the whole's digest."""
        if request.digest is not None:
            return False  # it is said between workers only, and never passed on
        known = self._running.get(request.id)
        if known is not None:
            if known.frame != hash(frame):
                raise IdReused(f"the batch {request.id} is still running, and this is another one", field="id", hint="Count on.")
            known.times += 1
            return True
        homes = [self._home(entry.session) for entry in request.data]
        first = next((home for home in homes if home is not None), None)
        if first is None:
            return False
        if all(home == first for home in homes):
            self._way(first).send(frame, request)
            return True
        self._take_apart(request, frame, homes)
        return True

    def _take_apart(self, request: Request, frame: str | bytes, homes: list[int | None]) -> None:
        connection = self._connection
        message = connection.encoding.read(frame)
        digest = connection.doing.digest(frame)
        split = _Split(request, hash(frame))
        whole = Batch(len(homes), partial(self._answer, split))
        if not request.as_finished:
            self._running[request.id] = split
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
            try:
                if home is None:
                    connection.doing.part(sub, part, partial(_fill, (whole, mine)))
                else:
                    self._way(home).send(part, sub, None if request.as_finished else (whole, mine))
            except OpenEnvError:
                self._running.pop(request.id, None)
                raise

    def _answer(self, split: _Split, bodies: list[Body]) -> None:
        """All results of a batch are there."""
        if self._running.get(split.request.id) is not split:
            return  # it was refused
        del self._running[split.request.id]
        body = self._connection.encoding.results(bodies)
        for _ in range(split.times):
            self._connection.answer(split.request, body)

    def end(self) -> None:
        """The client is gone, and with it the ways: sessions elsewhere wait for their lease, as those here do."""
        for way in self._ways.values():
            way.end()


@dataclass(slots=True)
class _Split:
    """A batch that was taken apart."""

    request: Request
    frame: int
    """A hash of what was sent."""
    times: int = 1
    """How often it was sent, and is to be answered."""


_Part = tuple[Batch, list[int]]
"""Where the results of some entries of a batch go: into the whole, to these places."""


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
        self._batches: dict[int | None, _Part] = {}
        self._silent = 0
        """Answers under the id `_OURS` that are for nobody: the client has them from here."""
        self.ended = False
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._over)

    def send(self, frame: str | bytes, request: Request, part: _Part | None = None) -> None:
        """Send a frame there; its answers go to the client, or into the whole of a batch."""
        if self._queued > MOST_QUEUED:
            raise Overloaded("too much waits for another worker", hint="Wait for answers.")
        waiting = self._asked[request.id, None] if part is not None else request.session is None and request.id in self._batches
        if waiting:  # the answers to the two could not be told apart
            raise IdReused(f"the id {request.id} still waits for an answer", field="id", hint="Count on.")
        if part is not None:
            self._batches[request.id] = part
        for asked in self._keys(request):
            self._asked[asked] += 1
            self._connection.count(1)
        self._put(frame)

    def listen(self, op: str, events: Iterable[str]) -> None:
        """Hear of these events of every session, or no longer."""
        names = sorted(events)
        if names:
            self._silent += 1
            self._put(self._connection.encoding.written({"id": _OURS, "op": op, "data": {"events": names}}))

    def _put(self, frame: str | bytes) -> None:
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

    async def _run(self) -> OpenEnvError | None:
        """Carry frames until one side is gone; what is to be told where there is more to it than that."""
        try:
            way = await self._open()
        except OpenEnvError as error:
            return error
        except ConnectionError as error:
            log.error("worker %d lets no connection in: %s", self._worker, error)
            return None
        except (OSError, WebSocketException, ValueError) as error:
            log.error("worker %d does not answer: %s", self._worker, error or type(error).__name__)
            return Overloaded(f"worker {self._worker} does not answer", hint="Come back in a moment.")
        try:
            async with way:
                sending = asyncio.get_running_loop().create_task(self._send(way))
                try:
                    await self._receive(way)
                finally:
                    sending.cancel()
        except (OSError, WebSocketException) as error:
            level = logging.INFO if self._connection.core.manager.draining else logging.ERROR
            log.log(level, "the way to worker %d has ended: %s", self._worker, error or type(error).__name__)
        return None

    def _over(self, task: asyncio.Task[OpenEnvError | None]) -> None:
        why = None
        if not task.cancelled():
            if task.exception() is not None:
                log.error("the way to worker %d has failed", self._worker, exc_info=task.exception())
            else:
                why = task.result()
        self._lost(why or SessionError("the worker process that had it is gone", hint="Open a new one."))

    async def _open(self) -> ClientConnection:
        siblings = self._connection.core.siblings
        assert siblings is not None
        headers = [
            (name.decode("latin-1"), _text(value))
            for name, value in self._scope["headers"]
            if name.decode("latin-1") not in _OWN_HEADERS and not name.startswith(b"sec-websocket")
        ]
        query = {name: value for name, value in self._connection.connection.query.items() if name != "session_id"}
        host = self._connection.connection.headers.get("host", "")
        known = _HOST.fullmatch(host)
        if known is None or int(known[2] or 0) > 65_535:  # whoever sent it was let in; it is not to become a part of a URL
            host = "localhost"
        way = await connect(
            f"ws://{host}/ws" + (f"?{urlencode(query)}" if query else ""),
            sock=siblings.dial(self._worker, self._scope),
            subprotocols=[Subprotocol(self._connection.encoding.name)],
            additional_headers=headers,
            user_agent_header=None,
            compression=None,
            max_size=None,
            ping_interval=None,
            proxy=None,
            open_timeout=_OPENING_S,
        )
        try:
            async with asyncio.timeout(_OPENING_S):
                hello = self._connection.encoding.read(await way.recv())
            if "error" in hello:
                raise _error_of(hello["error"])
        except BaseException:
            way.transport.abort()
            raise
        return way

    async def _send(self, way: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # whoever receives sees that too
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
        if number == _OURS and session is None and self._silent and message.get("ok") == {}:
            self._silent -= 1
            return
        waiting = self._asked[number, session]
        if waiting:
            self._asked[number, session] -= 1
            connection.count(-1)
        if waiting <= 1:
            del self._asked[number, session]
        part = self._batches.pop(number, None) if session is None else None
        if part is None:
            connection.write(written)
        elif "ok" in message:
            _fill(part, [connection.encoding.body(one) for one in message["ok"]["results"]])
        else:
            _fill(part, [connection.encoding.body(message)] * len(part[1]))

    def _lost(self, why: OpenEnvError) -> None:
        """Whoever still waits for an answer gets this one."""
        self.ended = True
        connection = self._connection
        body = connection.encoding.error(why)
        for (number, session), count in self._asked.items():
            for _ in range(count):
                connection.count(-1)
                part = self._batches.pop(number, None) if session is None else None
                if part is not None:
                    _fill(part, [body] * len(part[1]))
                else:
                    connection.answer(Request(number, "invalid", session), body)
        self._asked.clear()


def _fill(part: _Part, bodies: list[Body]) -> None:
    whole, places = part
    for place, body in zip(places, bodies, strict=True):
        whole.put(place, body)


def _error_of(body: Mapping[str, Any]) -> OpenEnvError:
    error = OpenEnvError(str(body.get("message", "")), hint=body.get("hint"))
    error.code = str(body.get("code", error.code))
    error.told = True
    return error


def _text(value: bytes) -> str:
    """A header's value for websockets, which writes UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
