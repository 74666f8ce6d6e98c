"""What every client has that is awaited and has a blocking facade: how it is entered and left, and what wrong use comes to."""

from __future__ import annotations

import asyncio
import functools
import warnings
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from openenv.client.sync import BlockingFacade

__all__ = ["Blockable", "awaited", "warn_unclosed"]

_MethodT = TypeVar("_MethodT", bound=Callable[..., Coroutine[Any, Any, Any]])
_FacadeT = TypeVar("_FacadeT", bound="BlockingFacade")
_FacadeT_co = TypeVar("_FacadeT_co", bound="BlockingFacade", covariant=True)
_ClientT = TypeVar("_ClientT", bound="_Connectable")


class _Connectable(Protocol):
    def connect(self) -> Coroutine[Any, Any, Any]: ...

    def close(self) -> Coroutine[Any, Any, None]: ...


class _HasFacade(Protocol[_FacadeT_co]):
    _facade: Any

    def sync(self) -> _FacadeT_co: ...


class Blockable:
    """``async with`` gives the client itself, connected, and ``with`` its blocking facade. Both close it at their end."""

    _facade: Any = None
    """The facade of the ``with`` that is under way."""

    async def __aenter__(self: _ClientT) -> _ClientT:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self: _Connectable, *exc_info: object) -> None:
        await self.close()

    def __enter__(self: _HasFacade[_FacadeT]) -> _FacadeT:
        self._facade = facade = self.sync()
        return facade.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        facade, self._facade = self._facade, None
        if facade is not None:
            facade.close()


def awaited(method: _MethodT) -> _MethodT:
    """Make a coroutine method refuse to be called where nobody can await it, instead of doing nothing in silence."""

    @functools.wraps(method)
    def call(self: object, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            name = type(self).__name__
            raise ConfigurationError(
                f"{name}.{method.__name__}() has to be awaited, and no event loop is running here",
                hint=f"For blocking calls write `with {name}(...) as client:`; else await it inside an `async def`.",
            ) from None
        return method(self, *args, **kwargs)

    return cast("_MethodT", call)


def warn_unclosed(client: object) -> None:
    """Say that a client was forgotten that still had something open; for its ``__del__``."""
    warnings.warn(f"unclosed {client!r}: use `with` or close()", ResourceWarning, stacklevel=3, source=client)
