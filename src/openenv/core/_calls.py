"""Calls that have not begun: what a client returns before it knows whether its caller awaits."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from openenv.core.env_client import EnvClient
    from openenv.core.sync_client import SyncEnvClient

__all__ = ["Bootstrap", "PendingCall"]

_ValueT = TypeVar("_ValueT")
_ClientT = TypeVar("_ClientT", bound="EnvClient[Any, Any, Any]")

_INTROSPECTION = ("_", "cr_", "gi_", "ag_")
"""Attributes that asyncio and debuggers look at; no answer of a server has them."""


class _Deferred(Coroutine[Any, Any, _ValueT], Generic[_ValueT]):
    """Something that runs when it is first awaited, also as a task, and may then be awaited again."""

    _done = False
    _started = False
    _value: _ValueT
    _steps: Generator[Any, Any, _ValueT] | None = None

    def _begin(self) -> Coroutine[Any, Any, _ValueT]:
        raise NotImplementedError

    def __await__(self) -> Generator[Any, Any, _ValueT]:
        if not self._done:
            self._started = True
            self._value = yield from self._begin().__await__()
            self._done = True
        return self._value

    def send(self, value: Any, /) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, typ: Any, val: Any = None, tb: Any = None, /) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.throw(typ if val is None else val)

    def close(self) -> None:
        self._started = True
        if self._steps is not None:
            self._steps.close()


class PendingCall(_Deferred[_ValueT]):
    """A call made where an event loop runs, on a client whose mode is open.

    Awaiting it makes the client async. Reading an attribute of its value instead, as a notebook's cell does, makes the
    client a blocking one and waits here.
    """

    def __init__(self, block: Callable[[Callable[[], Any]], Any], make: Callable[[], Any], name: str) -> None:
        self._block = block
        self._make = make
        self._name = name

    def _begin(self) -> Coroutine[Any, Any, _ValueT]:
        made: Coroutine[Any, Any, _ValueT] = self._make()
        return made

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_INTROSPECTION):
            raise AttributeError(f"a call of {self._name}() that was not awaited has no attribute {name!r}")
        if not self._done:
            self._started = True
            self._value = self._block(self._make)
            self._done = True
        return getattr(self._value, name)

    def __repr__(self) -> str:
        return repr(self._value) if self._done else f"<{self._name}() pending: await it>"

    def __del__(self) -> None:
        if not self._started:
            warnings.warn(f"{self._name}() was never awaited", RuntimeWarning, stacklevel=2, source=self)


class Bootstrap(_Deferred[_ClientT]):
    """A client to be, whose server is not started yet: ``await`` it, or take its blocking form with `sync`.

    The server starts once, whichever comes first. The client's mode stays open: it is connected when first used.
    """

    def __init__(self, start: Callable[[], _ClientT]) -> None:
        self._start = start
        self._starting = threading.Lock()

    async def _begin(self) -> _ClientT:
        return await asyncio.to_thread(self.start)

    def sync(self) -> SyncEnvClient[Any, Any, Any]:
        """Start the server, waiting here, and return the blocking client."""
        return self.start().sync()

    def start(self) -> _ClientT:
        """Start the server, waiting here, and return the client."""
        with self._starting:
            if not self._done:
                self._value = self._start()
                self._done = True
            return self._value

    def __repr__(self) -> str:
        return f"<handle of {self._value!r}>" if self._done else "<handle of a server that is not started: await it, or .sync()>"
