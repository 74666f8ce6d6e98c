"""One worker: an application served on a socket of its own, beside siblings that it is linked to."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

from openenv.errors import ConfigurationError
from openenv.middleware import BearerAuth, JsonLog, RateLimit
from openenv.middleware.log_records import take_records
from openenv.middleware.shared_buckets import SharedBuckets
from openenv.runtime.census import Census
from openenv.runtime.ids import WorkerIds
from openenv.server.core import ServerCore
from openenv.server.run import DrainingServer, configured, core_of, remark_on
from openenv.server.workers.channel import Channel, Message
from openenv.server.workers.line import Line
from openenv.server.workers.siblings import Siblings

__all__ = ["Berth", "WorkerServer", "work"]

WORKER_HEADER = "x-openenv-worker"
"""On every response: which worker has answered."""
MOST_TABLES = 8
"""Tables of rate limits that the workers have in common; a limit has two. What is not used takes no memory."""


@dataclass(frozen=True, slots=True)
class Berth:
    """What a supervisor gives to a worker: its place among the others, and open files."""

    worker: int
    """Its number, from 0."""
    workers: int
    start: int
    """How often this worker was started before."""
    control: int
    """The file of its end of the channel to the supervisor."""
    listener: int
    """The file of the socket to listen on, bound already."""
    census: int
    """The file that all count in."""


class WorkerServer(DrainingServer):
    """Serves when it is linked to its siblings, and ends when the supervisor says so; signals mean nothing to it.

    A signal to a whole process group or control group reaches the supervisor too, which tells its workers: they must not
    take it for two.
    """

    def __init__(self, app: Any, berth: Berth, secret: bytes, *, log_level: str, drain_s: float) -> None:
        core = core_of(app)
        ids = WorkerIds(berth.worker, berth.workers, berth.start)
        census = Census(berth.census, berth.worker, berth.workers)
        self._siblings = core.siblings = Siblings(core, ids, census, secret)
        self._siblings.on_arrival = self._arrive
        core.manager.ids = ids
        core.manager.close_elsewhere = self._siblings.close
        core.manager.room.share(census)
        _share(core, self._siblings, berth)
        self._http = partial(Line, self._siblings)
        tells = [(WORKER_HEADER, str(berth.worker))]
        taken = self._records_taken = take_records(core.pipeline.middleware)
        super().__init__(configured(app, log_level=log_level, records_taken=taken, http=self._http, headers=tells), core, drain_s)
        self._berth = berth
        self._linked = asyncio.Event()
        self._arriving: set[asyncio.Task[Any]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handlers that do nothing; programs that this process starts have the usual ones all the same."""
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, _ignored)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections only when every session of the server can be reached from here."""
        end = socket.socket(fileno=self._berth.control)
        self._control = Channel(end, self._told, _nothing_to_say, _supervisor_is_gone)
        self._control.tell({"hello": os.getpid()})
        await self._linked.wait()
        await self._siblings.inherit()
        await super().startup(sockets)
        remark = remark_on(self._core, self._berth.workers)
        self._control.tell({"ready": self._core.specification.name, "remark": remark, "json_log": self._records_taken})

    def _told(self, message: Message) -> None:
        told = message.told
        if "link" in told and message.fd is not None:
            self._siblings.link(told["link"], socket.socket(fileno=message.fd))
        elif "go" in told:
            self._linked.set()
        elif "stop" in told:
            self.handle_exit(signal.SIGTERM, None)
            self._linked.set()

    def _arrive(self, end: socket.socket, known: Mapping[str, Any], read: bytes) -> None:
        """Go on with a connection that another worker hands over."""
        if self.should_exit or not self.started:
            end.close()
            return
        made = partial(
            self._http,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            arrived=read,
            known=known,
        )
        task = self._loop.create_task(self._take(end, made))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _take(self, end: socket.socket, made: Any) -> None:
        try:
            await self._loop.connect_accepted_socket(made, end)
        except OSError:  # the client went meanwhile
            end.close()


def work(app: Any, berth: Berth, secret: bytes, *, log_level: str, drain_s: float) -> None:
    """Serve as a worker until the supervisor says that it is over."""
    listener = socket.socket(fileno=berth.listener)
    WorkerServer(app, berth, secret, log_level=log_level, drain_s=drain_s).run(sockets=[listener])


def _share(core: ServerCore, siblings: Siblings, berth: Berth) -> None:
    """What the middleware of all workers has to have in common."""
    if not os.environ.get("OPENENV_SNAPSHOT_KEY"):
        core.snapshot_key = siblings.key("snapshots")
    tables = range(Census.size(berth.workers), Census.size(berth.workers) + MOST_TABLES * SharedBuckets.SIZE, SharedBuckets.SIZE)
    free = (SharedBuckets(berth.census, start, siblings.key(f"table {start}")) for start in tables)
    for number, one in enumerate(core.pipeline.middleware):
        if isinstance(one, BearerAuth):
            one.share(siblings.key(f"bearer tokens of middleware {number}"))
        elif isinstance(one, JsonLog):
            one.worker = siblings.ids.number
        elif isinstance(one, RateLimit):
            mine = list(itertools.islice(free, 2))
            if len(mine) < 2:
                raise ConfigurationError(f"workers share no more than {MOST_TABLES // 2} rate limits", field="workers")
            one.share(*mine)


def _ignored(sig: int, frame: FrameType | None) -> None:
    return None


async def _nothing_to_say(question: Any) -> None:
    return None


def _supervisor_is_gone() -> None:
    os._exit(1)
