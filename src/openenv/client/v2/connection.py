"""One connection, many sessions: protocol v2 for whoever runs more than one episode at a time."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from pydantic import BaseModel

from openenv.client import frames
from openenv.client.address import Address
from openenv.client.blockable import Blockable, awaited, warn_unclosed
from openenv.client.settings import positive, size_in_bytes
from openenv.client.v2.batch import Outcome, as_finished, failed, together
from openenv.client.v2.conversation import Conversation
from openenv.client.v2.events import EventStream
from openenv.client.v2.forms import Forms
from openenv.client.v2.link import LinkSettings
from openenv.client.v2.pending import Ask, Seat
from openenv.client.v2.session import DEFAULT, RemoteSession, Timeout, limit_of, session_names
from openenv.client.v2.wire import EncodingName, Hello, encoding_of
from openenv.errors import OpenEnvError
from openenv.types import StepResult

if TYPE_CHECKING:
    from openenv.client.core import ActionT, EnvClient, ObservationT, StateT
    from openenv.client.v2.blocking import SyncConnection

__all__ = ["Connection"]

_CLOSE_S = 10.0

AnySession = RemoteSession[Any, Any, Any]


class Connection(Blockable):
    """A WebSocket that carries many sessions, and is replaced when it is lost: no step is lost by that, or taken twice.

    Async: ``async with Connection(url) as connection: [session] = await connection.open()``. Blocking:
    ``with Connection(url) as connection: [session] = connection.open()``.

    A session that cannot be had back (the server forgot it, or could not be reached while it lived) raises `SessionLost`,
    and the others go on. The connection closes the sessions that it opened and forked, and detaches those it attached.

    Args:
        base_url: ``ws://``, ``wss://``, ``http://``, ``https://`` or a bare ``host:port``; a path prefix is kept.
        headers: Sent with the handshake; or a function that makes them for each, which is called again when a token expired.
        timeout_s: Seconds that a call waits for its answer; ``None`` waits for ever.
        encoding: ``"json"`` or ``"msgpack"`` (the extra of that name, on both sides), which pays for bytes and arrays.
        resume_within_s: How long to try to get a lost connection back; ``None``: as long as sessions live without one.
        connect_timeout_s: Seconds for the handshake; ``None`` waits for ever.
        ping_interval_s: Seconds of silence after which a ping is sent; ``None`` sends none.
        ping_timeout_s: Seconds to wait for its answer, after which the connection is given up, and replaced.
        max_message_size_mb: The largest answer taken, in MiB; ``None`` takes any.

    Raises:
        ConfigurationError: An argument makes no sense; the error names it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        timeout_s: float | None = 60.0,
        encoding: EncodingName = "json",
        resume_within_s: float | None = None,
        connect_timeout_s: float | None = 10.0,
        ping_interval_s: float | None = 10.0,
        ping_timeout_s: float | None = 10.0,
        max_message_size_mb: float | None = 100.0,
    ) -> None:
        address = Address.parse(base_url)
        self._address = replace(address, query=tuple(pair for pair in address.query if pair[0] != "session_id"))
        self._timeout_s = positive("timeout_s", timeout_s)
        given = dict(headers) if isinstance(headers, Mapping) else headers
        self._conversation = Conversation(
            LinkSettings(
                address=self._address,
                headers=given if callable(given) else lambda: given or {},
                renews=callable(given),
                connect_timeout_s=positive("connect_timeout_s", connect_timeout_s),
                max_size=size_in_bytes("max_message_size_mb", max_message_size_mb),
                ping_interval_s=positive("ping_interval_s", ping_interval_s),
                ping_timeout_s=positive("ping_timeout_s", ping_timeout_s),
            ),
            encoding_of(encoding),
            positive("resume_within_s", resume_within_s),
        )

    # What is there.

    @property
    def base_url(self) -> str:
        """The server's address over HTTP, without a slash at its end."""
        return self._address.http_url

    @property
    def hello(self) -> Hello | None:
        """What the server said of itself; ``None`` before the first connection."""
        return self._conversation.hello

    @property
    def encoding(self) -> EncodingName:
        """What frames are written in."""
        return self._conversation.encoding.name

    @property
    def resumes(self) -> int:
        """How often a lost connection was replaced."""
        return self._conversation.keeper.resumes

    @property
    def repeats(self) -> int:
        """How many requests were sent again, because their connection was lost before their answers came."""
        return self._conversation.repeats

    # What a user calls.

    @awaited
    async def connect(self) -> Self:
        """Connect, if it is not connected.

        Raises:
            ConnectionFailed, DeadlineExceeded: No server answered, or not in time, or it speaks no protocol v2.
            ServerError: It refuses this caller.
        """
        await self._conversation.keeper.ready()
        return self

    @overload
    async def open(
        self, count: int = 1, *, client: type[EnvClient[ActionT, ObservationT, StateT]]
    ) -> list[RemoteSession[ActionT, ObservationT, StateT]]: ...

    @overload
    async def open(
        self,
        count: int = 1,
        *,
        observation_type: type[BaseModel] | None = None,
        state_type: type[BaseModel] | None = None,
    ) -> list[AnySession]: ...

    @awaited
    async def open(
        self,
        count: int = 1,
        *,
        client: Any = None,
        observation_type: type[BaseModel] | None = None,
        state_type: type[BaseModel] | None = None,
    ) -> list[Any]:
        """Open new sessions: all of them, or none.

        Args:
            count: How many.
            client: A class of client whose types and hooks the sessions use, such as ``SnakeEnv``.
            observation_type: Without one: what observations are validated as; ``None`` leaves them dicts.
            state_type: Likewise for states.

        Raises:
            ServerError: ``CAPACITY_REACHED``, or what else the server refuses with.
        """
        forms = Forms.of(client, observation_type, state_type)
        return [RemoteSession(self, seat, forms) for seat in await self._seats(count)]

    async def _seats(self, count: int) -> list[Seat]:
        # The key finds the same sessions again when the connection is lost before their names have come.
        ask = Ask("open", {"count": count, "key": secrets.token_urlsafe(16)}, timeout_s=self._timeout_s)
        answer = await self._conversation.request(ask)
        return [self._conversation.seat(name, owned=True) for name in session_names(answer if isinstance(answer, dict) else {})]

    @overload
    async def attach(
        self, session_id: str, *, client: type[EnvClient[ActionT, ObservationT, StateT]]
    ) -> RemoteSession[ActionT, ObservationT, StateT]: ...

    @overload
    async def attach(
        self,
        session_id: str,
        *,
        observation_type: type[BaseModel] | None = None,
        state_type: type[BaseModel] | None = None,
    ) -> AnySession: ...

    @awaited
    async def attach(
        self,
        session_id: str,
        *,
        client: Any = None,
        observation_type: type[BaseModel] | None = None,
        state_type: type[BaseModel] | None = None,
    ) -> Any:
        """Take up a session that there is; another connection that holds it loses it.

        Raises:
            SessionLost: There is none of that name, or another dialect's socket holds it.
        """
        answer = await self._conversation.request(Ask("attach", session=session_id, timeout_s=self._timeout_s))
        told = answer if isinstance(answer, dict) else {}
        self._conversation.count_from(told.get("last_id"))
        seat = self._conversation.seat(session_id, owned=False)
        session: AnySession = RemoteSession(self, seat, Forms.of(client, observation_type, state_type))
        session.episode_id = frames.text_of(told.get("episode_id"), "") or None
        return session

    @awaited
    async def ping(self) -> float:
        """Ask the server for a sign of life, over all that is between; the seconds that it took."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        await self._conversation.request(Ask("ping", timeout_s=self._timeout_s))
        return clock() - begun

    @overload
    async def batch(
        self,
        entries: Sequence[tuple[AnySession, Any]],
        *,
        errors: Literal["raise"] = "raise",
        timeout_s: Timeout = DEFAULT,
    ) -> list[StepResult[Any]]: ...

    @overload
    async def batch(
        self, entries: Sequence[tuple[AnySession, Any]], *, errors: Literal["return"], timeout_s: Timeout = DEFAULT
    ) -> list[StepResult[Any] | OpenEnvError]: ...

    @awaited
    async def batch(
        self,
        entries: Sequence[tuple[AnySession, Any]],
        *,
        errors: Literal["raise", "return"] = "raise",
        timeout_s: Timeout = DEFAULT,
    ) -> list[Any]:
        """Step many sessions in one frame, each once, and wait for all of them.

        Args:
            entries: Sessions with their actions; in place of an action, `Reset` begins an episode.
            errors: ``"return"`` puts the error of a session in the place of its result.
            timeout_s: How long each may take.

        Raises:
            BatchFailed: With ``errors="raise"``, when some failed. The others have been taken, and it has all results.
        """
        outcomes = await together(self._conversation, entries, self._limit(timeout_s))
        if errors == "raise" and any(isinstance(one, OpenEnvError) for one in outcomes):
            raise failed(outcomes)
        return outcomes

    def as_finished(
        self, entries: Sequence[tuple[AnySession, Any]], *, timeout_s: Timeout = DEFAULT
    ) -> AsyncIterator[tuple[int, Outcome]]:
        """Step many sessions in one frame; each one's place with its result, or its error, in the order in which they end."""
        return as_finished(self._conversation, entries, self._limit(timeout_s))

    def events(self, *names: str, session_id: str | None = None) -> EventStream:
        """What happens, by the events' names; about one session that need not be attached, or about all that are."""
        return EventStream(self._conversation, names, session_id)

    @awaited
    async def close(self) -> None:
        """Close the sessions that were opened here, and the connection. More than one call does no harm."""
        owned = [seat for seat in self._conversation.seats.values() if seat.owned]
        try:
            if owned and self._conversation.link is not None:
                async with asyncio.timeout(_CLOSE_S):
                    calls = (self._conversation.request(Ask.about("close", seat, repeat="never")) for seat in owned)
                    await asyncio.gather(*calls, return_exceptions=True)
        except TimeoutError:
            pass  # The server closes them when their leases end.
        finally:
            await self._conversation.keeper.close()

    def sync(self) -> SyncConnection:
        """A blocking facade of this connection, with an event loop of its own."""
        from openenv.client.v2.blocking import SyncConnection

        return SyncConnection(self)

    def __repr__(self) -> str:
        return f"<Connection with {self._address}>"

    def _limit(self, timeout_s: Timeout) -> float | None:
        return limit_of(timeout_s, self._timeout_s)

    def _abandon(self) -> bool:
        """Drop the connection from whatever thread this is; whether there was one."""
        return self._conversation.keeper.abort_from_anywhere()

    def __del__(self) -> None:
        conversation = self.__dict__.get("_conversation")
        if conversation is not None and not sys.is_finalizing() and conversation.keeper.abort_from_anywhere():
            warn_unclosed(self)
