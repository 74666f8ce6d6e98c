"""What stands behind a client of OpenEnv 0.10: its mode, its thread, its provider, and the project's client as its wire."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from openenv.client.core import EnvClient as NativeClient
from openenv.client.sync import LoopThread
from openenv.core._calls import PendingCall
from openenv.core._provided import Provided
from openenv.core.client_errors import SessionLost, spoken_as_0_10

if TYPE_CHECKING:
    from openenv.core.containers.runtime.providers import ContainerProvider, RuntimeProvider

__all__ = ["Link", "Wire"]

Mode = Literal["async", "sync"]
_OTHER: dict[Mode, Mode] = {"async": "sync", "sync": "async"}


class Wire(NativeClient[Any, Any, dict[str, Any]]):
    """The project's client with nothing added: data in, data out. The hooks of 0.10's client read them."""

    def _step_payload(self, action: Any) -> Any:
        return action

    def _parse_result(self, data: dict[str, Any]) -> Any:
        return data

    def _parse_state(self, data: dict[str, Any]) -> dict[str, Any]:
        return data


class _SharedThread:
    """The thread of a client that blocks, and of the sessions made from it; it ends with the last of them."""

    def __init__(self) -> None:
        self.worker = LoopThread()
        self._users = 1
        self._guard = threading.Lock()

    def joined(self) -> _SharedThread:
        """Itself, for one user more."""
        with self._guard:
            self._users += 1
        return self

    def left(self, *, wait: bool) -> None:
        """One user less."""
        with self._guard:
            self._users -= 1
            if self._users:
                return
        self.worker.stop(wait=wait)


class Link:
    """One client's way to its server, used by coroutines or by threads that block: the first use decides which.

    Args:
        base_url: Where the server is; ``None`` where the provider will say.
        options: Keyword arguments of `Wire`.
        provider: What runs the server, if this client shall stop it; without ``base_url`` it is also started here.
    """

    def __init__(
        self,
        base_url: str | None,
        options: Mapping[str, Any],
        provider: ContainerProvider | RuntimeProvider | None = None,
    ) -> None:
        self.base_url = base_url
        self.options = dict(options)
        self.mode: Mode | None = None
        self._provided = Provided(provider, runs=base_url is not None)
        self._guard = threading.Lock()
        self._thread: _SharedThread | None = None
        self._branches: WeakSet[Link] = WeakSet()
        self._closed = False
        self._wire: Wire | None = None if base_url is None else self._new_wire(base_url)

    def branch(self) -> Link:
        """A link of its own to the same server, for another session; it closes with this one."""
        twin = type(self)(self.base_url, self.options)
        twin.mode, twin._thread = self.mode, None if self._thread is None else self._thread.joined()
        self._branches.add(twin)
        return twin

    # How a call is made.

    def call(self, make: Callable[[], Coroutine[Any, Any, Any]], name: str, *, last: bool = False) -> Any:
        """Run it and return its value where callers block; where they await, return what is to be awaited.

        Args:
            make: Makes the coroutine.
            name: The method's, for messages.
            last: It leaves nothing open, so that the mode is free again afterwards.
        """
        loop = _running_loop()
        if loop is None or (self.mode == "sync" and not self._owns(loop)):
            return self._block_last(make) if last else self.block(make)
        if self.mode is None:
            return PendingCall(self.block, make, name)
        return make()

    def block(self, make: Callable[[], Any]) -> Any:
        """Wait here for what ``make`` returns, which may be a coroutine of the caller's class."""
        self.claim("sync")
        with self._guard:
            if self._thread is None:
                self._thread = _SharedThread()
            thread = self._thread
        with spoken_as_0_10():
            return thread.worker.run(make)

    def settle(self, made: Any) -> Any:
        """The value of what a method returned to a caller that blocks."""
        return self.block(lambda: made) if inspect.isawaitable(made) else made

    def claim(self, mode: Mode) -> None:
        """Say that the client is used in this way from now on.

        Raises:
            RuntimeError: It is in use in the other way.
        """
        with self._guard:
            if self.mode == _OTHER[mode]:
                raise RuntimeError(
                    f"This client is in {self.mode} use, from its first call until close(). For {mode} use make another one."
                )
            self.mode = mode

    def claim_here(self) -> None:
        """Claim the mode of the coroutine that is running: async, unless the loop is this link's own thread's."""
        if not self._owns(asyncio.get_running_loop()):
            self.claim("async")

    def release(self) -> None:
        """Free the mode and end the thread."""
        with self._guard:
            thread, self._thread, self.mode = self._thread, None, None
        if thread is not None:
            thread.left(wait=True)

    def _block_last(self, make: Callable[[], Any]) -> Any:
        try:
            return self.block(make)
        finally:
            self.release()

    def _owns(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._thread is not None and self._thread.worker.loop is loop

    # What a call does. All of these run on a loop.

    async def connect(self) -> None:
        """Open the socket, and start the provider's server before it where there is none."""
        self.claim_here()
        with spoken_as_0_10():
            wire = await self._ready(reopens=True)
            await wire.connect()

    async def reset(self, arguments: Mapping[str, Any]) -> Any:
        """The data of the answer to a reset."""
        self.claim_here()
        with spoken_as_0_10():
            wire = await self._ready(reopens=True)
            return await wire.reset(**arguments)

    async def step(self, payload: Any) -> Any:
        """The data of the answer to a step."""
        self.claim_here()
        with spoken_as_0_10():
            wire = await self._ready()
            return await wire.step(payload)

    async def state(self) -> dict[str, Any]:
        """The data of the answer to a question for the state."""
        self.claim_here()
        with spoken_as_0_10():
            wire = await self._ready()
            return await wire.state()

    async def disconnect(self, *, ends_all: bool = False) -> None:
        """End the socket and the session that it owns; with ``ends_all`` also a session that would outlive it."""
        # What comes next may run on another loop, and needs a wire of its own.
        wire, self._wire, self._closed = self._wire, None, True
        try:
            if wire is not None:
                await wire.close()
            if ends_all:
                await self._end_session()
        finally:
            await self._free()
            if self.mode == "async":
                self.release()

    async def close(self) -> None:
        """End the sockets, the sessions and the provider's server."""
        try:
            for branch in list(self._branches):
                await branch._closed_from(asyncio.get_running_loop())
            await self.disconnect(ends_all=True)
        finally:
            if self._provided.restarts:
                self.base_url = None
            await asyncio.to_thread(self._provided.stop)

    async def _closed_from(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close this branch, asked by a link that runs on ``loop``, which need not be its own any more."""
        if self._thread is None or self._owns(loop):
            await self.close()
            self.release()
        else:
            await asyncio.to_thread(self._block_last, self.close)

    async def _ready(self, *, reopens: bool = False) -> Wire:
        """The wire, on the way to a server that runs.

        Args:
            reopens: After a close, this call may open another session.
        """
        base_url = await self._started(reopens=reopens)
        if self._wire is None:
            self._wire = self._new_wire(base_url)
        return self._wire

    async def _started(self, *, reopens: bool) -> str:
        if reopens:
            self._closed = False
        elif self._closed:
            raise SessionLost(
                "The session is lost: the client was closed", hint="Nothing was repeated. reset() opens a new session."
            )
        if self.base_url is None:
            self.base_url = await asyncio.to_thread(self._provided.start)
        return self.base_url

    async def _end_session(self) -> None:
        """For links whose session outlives its socket: called when it shall end."""

    async def _free(self) -> None:
        """For links that hold more than a socket: called when nothing shall stay open."""

    def _new_wire(self, base_url: str, **more: Any) -> Wire:
        with spoken_as_0_10():
            return Wire(base_url, **self.options, **more)

    def __del__(self) -> None:
        thread = self.__dict__.get("_thread")
        if thread is None or sys.is_finalizing():
            return
        left_open = self._wire is not None and self._wire._abandon()
        thread.left(wait=False)
        if left_open:
            warnings.warn(
                f"unclosed client of {self.base_url}: use `with` or close()", ResourceWarning, stacklevel=2, source=self
            )


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
