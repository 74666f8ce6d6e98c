"""The blocking facade: an async client on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any, Generic, Self

from typing_extensions import TypeVar

from openenv.client.blockable import warn_unclosed
from openenv.client.core import ActionT, EnvClient, ObservationT, StateT
from openenv.client.loss import session_lost
from openenv.errors import ConfigurationError
from openenv.types import StepResult

__all__ = ["BlockingFacade", "LoopThread", "SyncEnvClient"]

_ResultT = TypeVar("_ResultT")


class LoopThread:
    """An event loop that runs in a daemon thread. It knows nothing of the facade, so that the facade can be collected."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._guard = threading.Lock()
        self._stopping = False
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._work, name="openenv-client", daemon=True)
        self._thread.start()
        self._ready.wait()
        if not hasattr(self, "loop"):
            raise RuntimeError("The client's event loop did not start; its thread said why")

    def _work(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()

    def run(self, call: Callable[[], Any]) -> Any:
        """Call it on the loop, await what it returns, and return that to this thread.

        An exception that interrupts the wait, such as ``KeyboardInterrupt``, cancels the call.
        """
        with self._guard:  # so that nothing is handed to a loop that will not run it any more
            if self._stopping:
                raise session_lost("the client was closed")
            future = asyncio.run_coroutine_threadsafe(_awaited(call), self.loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise session_lost("the client was closed while the call was waiting") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # its exception's traceback holds this frame: together they would keep the facade alive

    def stop(self, *, wait: bool) -> None:
        """End the loop and its thread; calls that still run are cancelled."""
        with self._guard:
            if not self._stopping:
                self._stopping = True
                self.loop.call_soon_threadsafe(self._stop.set)
        if wait:
            self._thread.join()


async def _awaited(call: Callable[[], Any]) -> Any:
    made = call()
    return await made if inspect.isawaitable(made) else made


class BlockingFacade:
    """What every blocking facade has: a thread with an event loop, from the first call until `close`.

    Threads may share it. An exception that interrupts a call, such as ``KeyboardInterrupt``, cancels it.
    """

    blocks_loops = False
    """Whether it may be called where an event loop is running, and stop that loop meanwhile, as all else does in a notebook."""

    def __init__(self, inner: Any) -> None:
        self._client = inner
        self._thread: LoopThread | None = None
        self._guard = threading.Lock()

    def connect(self) -> Self:
        """Connect, if it is not connected."""
        self._run(self._client.connect)
        return self

    def close(self) -> None:
        """End what is open, and the thread. More than one call does no harm."""
        with self._guard:
            thread = self._thread
        if thread is None:
            return
        try:
            self._run(self._client.close)
        finally:
            with self._guard:
                if self._thread is thread:
                    self._thread = None
            thread.stop(wait=True)

    def __enter__(self) -> Self:
        try:
            return self.connect()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._client!r}>"

    def __del__(self) -> None:
        thread = self.__dict__.get("_thread")
        if thread is None or sys.is_finalizing():
            return
        self._client._abandon()
        thread.stop(wait=False)
        warn_unclosed(self)

    def _run(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check_thread()
        with self._guard:
            if self._thread is None:
                self._thread = LoopThread()
            thread = self._thread
        return thread.run(functools.partial(method, *args, **kwargs))

    def _go_on(self, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """`_run`, for what lives on the loop that there is: after `close` it is gone. Raises `SessionLost` then."""
        self._check_thread()
        with self._guard:
            thread = self._thread
        if thread is None:
            raise session_lost("the client was closed")
        return thread.run(functools.partial(method, *args, **kwargs))

    def _check_thread(self) -> None:
        if not self.blocks_loops and _loop_is_running():
            raise ConfigurationError(
                "A blocking client would stop the event loop that is running here",
                hint=f"Use `async with {type(self._client).__name__}(...) as client:` and await its methods.",
            )


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class SyncEnvClient(BlockingFacade, Generic[ActionT, ObservationT, StateT]):
    """The verbs of an `EnvClient`, blocking. Threads may share it: their calls are served one after the other.

    It has one thread, from its first call until `close`. Methods that a subclass of `EnvClient` adds are there too.
    They raise what those of the async client raise; an interrupted call (Ctrl-C) costs the session, as a cancelled one does
    (not so with protocol v2).
    """

    _client: EnvClient[ActionT, ObservationT, StateT]

    def __init__(self, async_client: EnvClient[ActionT, ObservationT, StateT]) -> None:
        super().__init__(async_client)

    @property
    def async_client(self) -> EnvClient[ActionT, ObservationT, StateT]:
        """The client underneath."""
        return self._client

    def reset(self, /, **kwargs: Any) -> StepResult[ObservationT]:
        """Begin an episode, in a new session where there is none or the old one is lost."""
        result: StepResult[ObservationT] = self._run(self._client.reset, **kwargs)
        return result

    def step(self, action: ActionT) -> StepResult[ObservationT]:
        """Take one step."""
        result: StepResult[ObservationT] = self._run(self._client.step, action)
        return result

    def state(self) -> StateT:
        """Where the episode stands."""
        state: StateT = self._run(self._client.state)
        return state

    def __getattr__(self, name: str) -> Any:
        """What a subclass of the async client adds, its methods blocking."""
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        found = getattr(self._client, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            return self._run(found, *args, **kwargs)

        return blocking
