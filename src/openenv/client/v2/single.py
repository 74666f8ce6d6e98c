"""What `EnvClient` stands on when it speaks protocol v2: a connection that carries one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from openenv.client.loss import session_lost
from openenv.client.socket import Limits
from openenv.client.v2.connection import Connection
from openenv.client.v2.forms import with_ending
from openenv.client.v2.pending import Ask, Repeat, Seat
from openenv.client.v2.tools import tool_value
from openenv.errors import ServerError
from openenv.types import StepResult

__all__ = ["SingleSession", "single_session"]

ObservationT = TypeVar("ObservationT")

_EFFECTS = frozenset({"reset", "step", "call_tool"})


class SingleSession:
    """One session, opened at the first need, or attached where its id is known.

    After it is lost, everything raises `SessionLost` until `reset` has got another one.
    """

    def __init__(self, connection: Connection, session_id: str | None) -> None:
        self._connection = connection
        self._session_id = session_id
        self._seat: Seat | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def connect(self) -> None:
        """Get the session, if it is not there. Raises `SessionLost` where there was one that nothing brings back."""
        await self._current(anew=self._seat is None or self._closed or self._session_id is not None)

    async def reset(self, options: dict[str, Any]) -> dict[str, Any]:
        """Begin an episode, in another session where the last one is lost."""
        return await self._about("reset", options, await self._current(anew=True))

    async def ask(self, op: str, data: dict[str, Any] | None) -> dict[str, Any]:
        """The answer's ``ok`` to an operation in the session that there is."""
        return await self._about(op, data, await self._current(anew=self._seat is None and not self._closed))

    async def state(self) -> dict[str, Any]:
        """Where the episode stands."""
        state = (await self.ask("state", None)).get("state")
        if not isinstance(state, dict):
            raise ServerError("The answer to state has no state", code="INTERNAL_ERROR")
        return state

    @staticmethod
    def result(parse: Callable[[dict[str, Any]], StepResult[ObservationT]], data: dict[str, Any]) -> StepResult[ObservationT]:
        """The result in an answer, by a client's own hook, knowing how its episode ended."""
        return with_ending(parse(data), data)

    async def tools(self, method: str, params: Any) -> Any:
        """What JSON-RPC's ``tools/list`` or ``tools/call`` would have as its result."""
        if method == "tools/list":
            return await self.ask("list_tools", None)
        return {"data": tool_value(await self.ask("call_tool", dict(params)))}

    async def close(self) -> None:
        """Close the session, or detach one that was attached, and the connection."""
        self._closed = True
        await self._connection.close()

    def abandon(self) -> bool:
        """Drop the connection from whatever thread this is; whether there was one."""
        return self._connection._abandon()

    @property
    def connection(self) -> Connection:
        """The connection underneath."""
        return self._connection

    async def _current(self, *, anew: bool) -> Seat:
        async with self._opening:
            seat = self._seat
            if seat is not None and seat.lost is None:
                return seat
            if not anew:
                raise session_lost("the client was closed" if seat is None or seat.lost is None else seat.lost)
            if self._session_id is None:
                [session] = await self._connection.open()
            else:
                session = await self._connection.attach(self._session_id)
            self._seat, self._closed = session._seat, False
            return session._seat

    async def _about(self, op: str, data: dict[str, Any] | None, seat: Seat) -> dict[str, Any]:
        repeat: Repeat = "same" if op in _EFFECTS else "again"
        ask = Ask.about(op, seat, data, repeat=repeat, timeout_s=self._connection._timeout_s)
        answer = await self._connection._conversation.request(ask)
        if not isinstance(answer, dict):
            raise ServerError(f"The answer to {op} is no object", code="INTERNAL_ERROR")
        return answer


def single_session(base_url: str, session_id: str | None, headers: Mapping[str, str], limits: Limits) -> SingleSession:
    """A session with the settings of an `EnvClient`."""
    connection = Connection(
        base_url,
        headers=headers,
        timeout_s=limits.message_timeout_s,
        connect_timeout_s=limits.connect_timeout_s,
        ping_interval_s=limits.ping_interval_s,
        ping_timeout_s=limits.ping_timeout_s,
        max_message_size_mb=None if limits.max_size is None else limits.max_size / 2**20,
    )
    return SingleSession(connection, session_id)
