"""A worker's view of the others: who has a session, handing connections over, asking."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError, Overloaded, SessionError
from openenv.middleware.metrics import Metrics
from openenv.operation import Operation, Principal, Result
from openenv.server.workers.channel import Channel, Kind, Message

if TYPE_CHECKING:
    from openenv.runtime.census import Census
    from openenv.runtime.ids import WorkerIds
    from openenv.server.core import ServerCore

__all__ = ["PATIENCE_S", "Arrival", "Siblings"]

log = logging.getLogger("openenv.workers")

PATIENCE_S = 2.0
"""How long a worker may take to answer another one."""

_CLOSING_S = 60.0
"""How long it may take another worker to close an environment."""

Arrival = Callable[[socket.socket, Mapping[str, Any], bytes], None]
"""Takes a connection that another worker hands over, what is known of it, and what was read of it."""


class Siblings:
    """The workers of a server as one of them sees them. ``core.siblings`` is this, where there is more than one.

    Args:
        core: What this worker serves.
        ids: Tells whose sessions are whose.
        census: How many sessions each has.
        secret: Known to all workers and nobody else.
    """

    def __init__(self, core: ServerCore, ids: WorkerIds, census: Census, secret: bytes) -> None:
        self.core = core
        self.ids = ids
        self.census = census
        self.on_arrival: Arrival | None = None
        """Set by what runs the event loop."""
        self._secret = secret
        self._channels: dict[int, Channel] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._seen: dict[int, dict[str, Any]] = {}
        """What each worker had counted when its metrics were last shown to somebody."""

    def key(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose, the same in every worker."""
        return hmac.digest(self._secret, purpose.encode(), "sha256")

    def link(self, worker: int, end: socket.socket) -> None:
        """From now on this is the way to that worker; it ends with it."""
        before = self._channels.get(worker)
        if before is not None:
            before.close()

        def ended() -> None:
            if self._channels.get(worker) is made:
                del self._channels[worker]

        made = Channel(end, self._take, self._answer, ended)
        self._channels[worker] = made

    def home(self, session_id: str) -> int | None:
        """The other worker that has this session, if it can be reached; None for here, nobody's, and nobody any more.

        `SessionManager.session` tells then what is the case.
        """
        return self._reachable(self.ids.worker(session_id))

    def keeper(self, world: str) -> int | None:
        """The other worker in which worlds of this name are kept; None for here, and for one that cannot be reached.

        `SessionManager` refuses to make one in the wrong place.
        """
        return self._reachable(self.ids.keeper(world))

    def emptiest(self) -> int | None:
        """The other worker that has clearly fewer sessions, where there is one."""
        return self._reachable(self.census.emptiest())

    def first(self) -> int | None:
        """The worker of what a server has one of, such as its page; None for here."""
        return self._reachable(0)

    def _reachable(self, worker: int | None) -> int | None:
        return worker if worker in self._channels else None

    def hand_over(self, worker: int, fd: int, read: bytes, known: Mapping[str, Any] | None = None) -> bool:
        """Give a connection to another worker; False when it takes none. The caller closes its own copy.

        Args:
            worker: Which one.
            fd: The socket.
            read: What was read of it, for the other one to begin with.
            known: ``client`` and ``server``, its addresses, where the socket itself does not have them.
        """
        channel = self._channels.get(worker)
        if channel is None:
            return False
        try:
            channel.send(Kind.CONNECTION, json.dumps(dict(known or {})).encode() + b"\n" + read, fd)
        except (OpenEnvError, OSError) as error:  # it is gone, does not read, or this process has too many files open
            log.error("worker %d takes no connection: %s", worker, error)
            return False
        return True

    def dial(self, worker: int, scope: Mapping[str, Any]) -> socket.socket:
        """A new connection to another worker, which serves it as if it were the caller's of ``scope``.

        The caller's address goes with it; headers are the dialler's to send. Raises ``ConnectionError``.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            known = {"client": scope.get("client"), "server": scope.get("server")}
            if not self.hand_over(worker, theirs.fileno(), b"", known):
                ours.close()
                raise ConnectionError(f"worker {worker} takes no connection")
        return ours

    def close(self, operation: Operation, finish: Callable[[Result], None]) -> bool:
        """Have another worker end its session, as one asks for on a socket; False where no other has it."""
        home = self.home(operation.session or "")
        if home is None:
            return False
        principal = asdict(operation.principal) | {"scopes": sorted(operation.principal.scopes)}
        asked = {"session": operation.session, "principal": principal, "transport": operation.transport, "id": operation.id}

        async def ask() -> None:
            try:
                answer = await self._channels[home].ask({"close": asked}, _CLOSING_S)
                error = SessionError(answer["error"], hint="Open a new one.") if answer["error"] is not None else None
                finish(Result(value=answer["value"], error=error))
            except (KeyError, TimeoutError, ConnectionError, OpenEnvError):
                finish(Result(error=Overloaded(f"worker {home} does not answer", hint="Come back in a moment.")))

        task = asyncio.get_running_loop().create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return True

    async def sessions(self, principal: Principal) -> tuple[list[dict[str, Any]], list[int]]:
        """What this principal may use on the other workers, and which of those did not answer."""
        asked = {"id": principal.id, "tenant": principal.tenant, "session": principal.session}
        answers = await self._ask_all({"sessions": asked})
        found = [session for answer in answers.values() if answer is not None for session in answer]
        return found, [worker for worker, answer in answers.items() if answer is None]

    async def who_opened(self, key: tuple[str, str, str]) -> int | None:
        """The other worker in which a tenant's caller has opened sessions with a key of its choice."""
        answers = await self._ask_all({"opened": key})
        return next((worker for worker, opened in answers.items() if opened), None)

    async def metrics(self, own: Metrics) -> tuple[Metrics, dict[int, bool]]:
        """What all workers have counted together, and which of them answered.

        For one that does not, what it had counted when it was last asked stands in: a counter never goes back.
        """
        counted = own.export()
        here = self.ids.number
        answers = await self._ask_all({"metrics": counted, "from": here})
        total = Metrics(self.core.specification.name, lambda: 0)
        total.merge(counted)
        for worker, answer in answers.items():
            if answer is not None:
                self._seen[worker] = answer
            shown = answer if answer is not None else _without_sessions(self._seen.get(worker))
            if shown is not None:
                total.merge(shown)
        return total, {here: True} | {worker: answer is not None for worker, answer in answers.items()}

    async def inherit(self) -> None:
        """Go on counting where the process that was this worker before ended, as far as anybody was shown."""
        answers = await self._ask_all({"seen": self.ids.number})
        known = [answer for answer in answers.values() if answer]
        own = self._counted()
        if own is not None and known:
            latest = max(known, key=lambda seen: sum(seen["steps"].values()))
            own.merge(_without_sessions(latest) or latest)

    def _counted(self) -> Metrics | None:
        return next((one for one in self.core.pipeline.middleware if isinstance(one, Metrics)), None)

    async def _ask_all(self, question: Any) -> dict[int, Any]:
        """The answers of all other workers by number; None where there is none."""

        async def ask(worker: int) -> Any:
            channel = self._channels.get(worker)
            try:
                return await channel.ask(question, PATIENCE_S) if channel is not None else None
            except (TimeoutError, ConnectionError, OpenEnvError) as error:
                log.error("worker %d does not answer: %s", worker, error or type(error).__name__)
                return None

        others = [worker for worker in range(self.ids.workers) if worker != self.ids.number]
        return dict(zip(others, await asyncio.gather(*map(ask, others)), strict=True))

    async def _answer(self, question: Any) -> Any:
        if "sessions" in question:
            principal = Principal(**question["sessions"])
            return [session.describe() for session in self.core.manager.visible(principal)]
        if "close" in question:
            return await self._close_here(**question["close"])
        if "opened" in question:
            return self.core.opened is not None and self.core.opened(tuple(question["opened"]))
        if "metrics" in question:
            self._seen[question["from"]] = question["metrics"]
            return counted.export() if (counted := self._counted()) is not None else None
        return self._seen.get(question["seen"])

    async def _close_here(self, session: str, principal: dict[str, Any], transport: str, id: str | int | None) -> dict[str, Any]:
        known = Principal(**{**principal, "scopes": frozenset(principal["scopes"])})
        result = await self.core.pipeline.run(Operation("close", session=session, principal=known, transport=transport, id=id))
        return {"value": result.value, "error": result.error.message if result.error is not None else None}

    def _take(self, message: Message) -> None:
        if message.kind is not Kind.CONNECTION or message.fd is None:
            log.error("a worker sent what is no connection")
            return
        known, _, read = message.payload.partition(b"\n")
        end = socket.socket(fileno=message.fd)
        if self.on_arrival is None:
            end.close()
        else:
            self.on_arrival(end, json.loads(known), read)


def _without_sessions(seen: dict[str, Any] | None) -> dict[str, Any] | None:
    """Counters stay when a worker is gone; its sessions do not."""
    return seen | {"active_sessions": 0} if seen is not None else None
