"""The client of an environment's session, over OpenEnv's WebSocket dialect or protocol v2."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self

from pydantic import BaseModel
from typing_extensions import TypeVar

from openenv.client import frames
from openenv.client.address import Address
from openenv.client.blockable import Blockable, awaited, warn_unclosed
from openenv.client.loss import session_lost
from openenv.client.settings import positive, size_in_bytes
from openenv.client.socket import Limits, Socket
from openenv.errors import ConfigurationError, ServerError, SessionLost
from openenv.types import StepResult

if TYPE_CHECKING:
    from openenv.client.sync import SyncEnvClient
    from openenv.client.v2.single import SingleSession

ActionT = TypeVar("ActionT", default=Any)
ObservationT = TypeVar("ObservationT", default=Any)
StateT = TypeVar("StateT", default=Any)

REFUSALS = frozenset(
    {
        "CAPACITY_REACHED",
        "FACTORY_ERROR",
        "FORBIDDEN",
        "OVERLOADED",
        "RATE_LIMITED",
        "SESSION_ERROR",
        "SHUTTING_DOWN",
        "UNAUTHENTICATED",
    }
)
"""The codes with which a server turns a new socket away: no session was there to be lost, and one may try again."""


class EnvClient(Blockable, Generic[ActionT, ObservationT, StateT]):
    """A session with an environment on a server.

    Async: ``async with EnvClient(url) as client: result = await client.reset()``. Blocking:
    ``with EnvClient(url) as client: result = client.reset()``, where ``client`` is a `SyncEnvClient`.

    The first operation connects, if `connect` did not. Calls of several coroutines are served one after the other.
    When the socket is lost (closed by the server, an answer that came too late, a cancelled call), the session is
    lost too: every further call raises `SessionLost`, until `reset` has opened a new one. Nothing is ever repeated
    behind the caller's back.

    With ``protocol="v2"``, which the servers of this package speak, the session outlives its socket: a lost connection is
    replaced, no step is lost or taken twice, an answer that came too late or a cancelled call cost that call only, and
    results know ``terminated``, ``truncated`` and ``stop_reason``.

    Subclass it for typed results: set ``observation_type`` and ``state_type``, or override the three hooks.

    Args:
        base_url: ``ws://``, ``wss://``, ``http://``, ``https://`` or a bare ``host:port``; a path prefix is kept.
        connect_timeout_s: Seconds for the handshake; ``None`` waits for ever.
        message_timeout_s: Seconds for one answer; ``None`` waits for ever.
        max_message_size_mb: The largest answer taken, in MiB; ``None`` takes any.
        websocket_ping_interval_s: Seconds between pings that find a dead peer; ``None`` sends none.
        websocket_ping_timeout_s: Seconds to wait for a pong.
        headers: Sent with the handshake, such as ``Authorization`` or the context that the environment declares.
        session_id: Attach to this session, made over HTTP: it outlives the socket, and `reset` attaches to it again.
        protocol: ``"openenv"``, which every server of OpenEnv's speaks, or ``"v2"``.

    Raises:
        ConfigurationError: An argument makes no sense; the error names it.
    """

    observation_type: ClassVar[type[BaseModel] | None] = None
    state_type: ClassVar[type[BaseModel] | None] = None

    _socket: Socket | None = None
    _v2: SingleSession | None = None
    """What there is in place of a socket when the protocol is v2."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout_s: float | None = 10.0,
        message_timeout_s: float | None = 60.0,
        max_message_size_mb: float | None = 100.0,
        websocket_ping_interval_s: float | None = 20.0,
        websocket_ping_timeout_s: float | None = 20.0,
        headers: Mapping[str, str] | None = None,
        session_id: str | None = None,
        protocol: Literal["openenv", "v2"] = "openenv",
    ) -> None:
        self._address = Address.parse(base_url)
        self._limits = Limits(
            connect_timeout_s=positive("connect_timeout_s", connect_timeout_s),
            message_timeout_s=positive("message_timeout_s", message_timeout_s),
            max_size=size_in_bytes("max_message_size_mb", max_message_size_mb),
            ping_interval_s=positive("websocket_ping_interval_s", websocket_ping_interval_s),
            ping_timeout_s=positive("websocket_ping_timeout_s", websocket_ping_timeout_s),
        )
        self._headers = dict(headers or {})
        self._session_id = session_id if session_id is not None else self._address.session_id
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._lost: str | None = None
        self._closed = False
        if protocol not in ("openenv", "v2"):
            raise ConfigurationError(f"protocol is 'openenv' or 'v2', not {protocol!r}", field="protocol")
        if protocol == "v2":
            from openenv.client.v2.single import single_session

            self._v2 = single_session(base_url, self._session_id, self._headers, self._limits)

    # What a user calls.

    @property
    def base_url(self) -> str:
        """The server's address over HTTP, without a slash at its end."""
        return self._address.http_url

    @property
    def session_id(self) -> str | None:
        """The session that this client attaches to; ``None`` where each socket has a session of its own."""
        return self._session_id

    @awaited
    async def connect(self) -> Self:
        """Open the socket, if it is not. Most servers report a refusal with the first operation only.

        Raises:
            ConnectionFailed, DeadlineExceeded: No server answered, or not in time.
            SessionLost: A session was lost: call `reset` to say that a new one will do.
        """
        if self._v2 is not None:
            await self._v2.connect()
            return self
        async with self._turn():
            if self._lost is not None and not self._closed and self._session_id is None:
                raise session_lost(self._lost)
            if self._socket is None:
                await self._open()
                self._lost = None
        return self

    @awaited
    async def reset(self, /, **kwargs: Any) -> StepResult[ObservationT]:
        """Begin an episode, in a new session where there is none or the old one is lost.

        Args:
            kwargs: What the environment's ``reset`` takes, such as ``seed`` and ``episode_id``.
        """
        if self._v2 is not None:
            return self._v2.result(self._parse_result, await self._v2.reset(kwargs))
        frame = frames.encode("reset", kwargs)
        async with self._turn():
            data = await self._reset(frame)
        return self._parse_result(data)

    @awaited
    async def step(self, action: ActionT) -> StepResult[ObservationT]:
        """Take one step.

        Raises:
            ServerError: The server refused the action or the environment raised; the session goes on.
            DeadlineExceeded: No answer in time; the session is lost.
            SessionLost: The session is gone, and what became of this step is not known.
        """
        if self._v2 is not None:
            return self._v2.result(self._parse_result, await self._v2.ask("step", self._step_payload(action)))
        return self._parse_result(await self._ask("step", self._step_payload(action), "observation"))

    @awaited
    async def state(self) -> StateT:
        """Where the episode stands. Raises as `step` does."""
        if self._v2 is not None:
            return self._parse_state(await self._v2.state())
        return self._parse_state(await self._ask("state", None, "state"))

    @awaited
    async def close(self) -> None:
        """End the session, or detach from one that was given by its id. More than one call does no harm."""
        if self._v2 is not None:
            await self._v2.close()
            return
        async with self._turn():
            socket, self._socket = self._socket, None
            self._closed, self._lost = True, "the client was closed"
            if socket is not None:
                await socket.close(ends_session=self._session_id is None)

    def sync(self) -> SyncEnvClient[ActionT, ObservationT, StateT]:
        """A blocking facade of this client, with an event loop of its own."""
        from openenv.client.sync import SyncEnvClient

        return SyncEnvClient(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._address}>"

    # What a subclass may override.

    def _step_payload(self, action: ActionT) -> dict[str, Any]:
        """The action as a JSON object."""
        return frames.payload_of(action)

    def _parse_result(self, data: dict[str, Any]) -> StepResult[ObservationT]:
        """The result in an answer's ``{"observation", "reward", "done", "metadata"?}``."""
        return frames.result_of(data, self.observation_type)

    def _parse_state(self, data: dict[str, Any]) -> StateT:
        """The state in an answer."""
        state: StateT = frames.state_of(data, self.state_type)
        return state

    # Underneath.

    async def _ask(self, kind: str, data: Any, expected: str) -> dict[str, Any]:
        """One question in the session that there is, or in the first one; never in a new one after a loss."""
        frame = frames.encode(kind, data)
        async with self._turn():
            if self._lost is not None:
                raise session_lost(self._lost)
            return await self._exchange(self._socket or await self._open(), frame, expected)

    async def _reset(self, frame: bytes) -> dict[str, Any]:
        held = self._socket
        if held is not None:
            try:
                data = await self._exchange(held, frame, "observation")
            except SessionLost:
                # Found closed by the server, as after an idle hour: a reset wants a new world anyway.
                if not held.stale:
                    raise
            else:
                self._lost = None
                return data
        data = await self._exchange(await self._open(), frame, "observation")
        self._lost = None
        return data

    async def _open(self) -> Socket:
        self._socket = await Socket.open(self._address, self._session_id, self._headers, self._limits)
        self._closed = False
        return self._socket

    async def _exchange(self, socket: Socket, frame: bytes, expected: str) -> dict[str, Any]:
        try:
            return await socket.exchange(frame, expected)
        except ServerError as error:
            if socket.fresh and error.code in REFUSALS:
                self._socket = None
                await socket.close(ends_session=False)
            elif socket.lost is not None:
                self._socket, self._lost = None, socket.lost
            raise
        except BaseException:
            self._socket, self._lost = None, socket.lost or "a call was interrupted"
            raise

    def _turn(self) -> asyncio.Lock:
        """The lock that gives each call its turn, on the loop that is running now."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._loop.is_running():
                raise ConfigurationError(
                    "This client is in use on another event loop", hint="Use one client per loop, or the facade of sync()."
                )
            if self._socket is not None:
                self._socket, self._lost = None, "the event loop that it ran on has ended"
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock

    def _abandon(self) -> bool:
        """Drop the socket from whatever thread this is; whether there was one."""
        if self._v2 is not None:
            return self._v2.abandon()
        socket, self._socket = self._socket, None
        if socket is None or self._loop is None or self._loop.is_closed():
            return False
        self._loop.call_soon_threadsafe(socket.abort)
        return True

    def __del__(self) -> None:
        if (self._socket or self._v2) is not None and not sys.is_finalizing() and self._abandon():
            warn_unclosed(self)
