"""``open``: new sessions, all or none; and, with a key, the same ones when the answer was lost."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from openenv.errors import OpenEnvError
from openenv.operation import Operation, Principal, Result
from openenv.protocol.v2 import Request
from openenv.runtime import Session, SessionRequest
from openenv.server.v2.doing import late

if TYPE_CHECKING:
    from openenv.server.v2.connection import V2Connection

__all__ = ["Keys", "Opening"]

log = logging.getLogger("openenv.server")

_Key = tuple[str, str, str]
_AT_ONCE: Final = 32
"""Sessions of one ``open`` that are being made: a thousand of these may be asked for together, each of thousands."""


class Keys:
    """The sessions that were opened with a key, by tenant, caller and key."""

    def __init__(self) -> None:
        self._opened: dict[_Key, asyncio.Task[list[Session]]] = {}

    def get(self, key: _Key) -> asyncio.Task[list[Session]] | None:
        """What was opened with it, or is being opened; None when all of that has ended."""
        return self._opened.get(key)

    def put(self, key: _Key, opening: asyncio.Task[list[Session]]) -> None:
        """Remember it until the last of the sessions has ended, or until it has failed."""
        self._opened[key] = opening

        def opened(task: asyncio.Task[list[Session]]) -> None:
            if task.cancelled() or task.exception() is not None:
                self._opened.pop(key, None)
                return
            living = {session.id for session in task.result() if session.ended is None}
            if not living:
                self._opened.pop(key, None)

            def ended(session_id: str, reason: str) -> None:
                living.discard(session_id)
                if not living:
                    self._opened.pop(key, None)

            for session in task.result():
                session.watchers.add(partial(ended, session.id))

        opening.add_done_callback(opened)


class Opening:
    """The ``open`` requests of one connection."""

    def __init__(self, connection: V2Connection) -> None:
        self._connection = connection
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, request: Request, frame: str | bytes) -> None:
        """Open what is asked for, and answer."""
        connection = self._connection
        asked = asyncio.get_running_loop().create_task(self._answer(request, frame))
        connection.count(1)
        self._tasks.add(asked)
        asked.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._connection.count(-1)

    async def _answer(self, request: Request, frame: str | bytes) -> None:
        connection = self._connection
        elsewhere = await self._opened_elsewhere(request)
        if elsewhere is not None and connection.relays is not None:
            self._pass_on(elsewhere, request, frame)
            return
        deadline_s = request.deadline_ms / 1000 if request.deadline_ms is not None else None
        try:
            async with asyncio.timeout(deadline_s):
                sessions = await asyncio.shield(self._opening(request))
            living = [session.id for session in sessions if session.ended is None]
            for session_id in living:
                connection.hold_new(session_id)
            connection.answer(request, connection.encoding.ok({"sessions": living}))
        except TimeoutError:
            connection.refuse(request, late(deadline_s or 0.0))
        except OpenEnvError as error:
            connection.refuse(request, error)
        except Exception:
            log.exception("sessions could not be opened")
            connection.refuse(request, OpenEnvError("the server failed"))

    def _pass_on(self, worker: int, request: Request, frame: str | bytes) -> None:
        connection = self._connection
        if connection.lost or connection.relays is None:
            return  # a way that is made now would hold its sessions for nobody, and never end
        try:
            connection.relays.send(worker, request, frame)
        except OpenEnvError as error:
            connection.refuse(request, error)

    def _key(self, request: Request) -> _Key | None:
        principal: Principal = self._connection.connection.principal
        return (principal.tenant, principal.id, request.data.key) if request.data.key is not None else None

    async def _opened_elsewhere(self, request: Request) -> int | None:
        """The other worker that has opened sessions with this key; None where none has."""
        key, siblings = self._key(request), self._connection.core.siblings
        if key is None or siblings is None or self._connection.shared.keys.get(key) is not None:
            return None
        return await siblings.who_opened(key)

    def _opening(self, request: Request) -> asyncio.Task[list[Session]]:
        """The task that opens them: the one of the same key, if there is one."""
        connection = self._connection
        keys = connection.shared.keys
        key = self._key(request)
        known = keys.get(key) if key is not None else None
        if known is not None:
            connection.core.pipeline.check(connection.operation(Operation("create", id=request.id)))
            return known
        opening = asyncio.get_running_loop().create_task(self._open(request))
        opening.add_done_callback(_look)
        if key is not None:
            keys.put(key, opening)
        return opening

    async def _open(self, request: Request) -> list[Session]:
        connection = self._connection
        core = connection.core
        world = core.world_of(connection.context)
        wanted = SessionRequest(kind="free", world_name=world, lease_s=core.resume_lease_s)
        sessions: list[Session] = []
        left = request.data.count
        while left:
            some = min(left, _AT_ONCE)
            asked = (connection.operation(Operation("create", wanted, id=request.id)) for _ in range(some))
            results = await asyncio.gather(*map(core.pipeline.run, asked)) if core.manager.room.has(left) else [self._full()]
            sessions += [core.manager.sessions[one.session] for one in results if one.session in core.manager.sessions]
            error = next((one.error for one in results if one.error is not None), None)
            if error is not None:
                for session in sessions:
                    core.manager.end(session, "not all of the sessions that were asked for could be opened")
                raise error
            left -= some
        return sessions

    def _full(self) -> Result:
        return Result(error=self._connection.core.manager.full())


def _look(task: asyncio.Task[list[Session]]) -> None:
    """Its failure is told to whoever asks; nobody may be asking any more."""
    if not task.cancelled():
        task.exception()
