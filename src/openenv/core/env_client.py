"""OpenEnv 0.10's client: a session with an environment, awaited or blocking, over the project's own client."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from openenv.core._calls import Bootstrap
from openenv.core._link import Link
from openenv.core._provided import run_container, run_runtime
from openenv.core.client_errors import BadSetting
from openenv.core.client_types import ObsT, StateT, StepResult
from openenv.core.utils import space_image

if TYPE_CHECKING:
    from openenv.core.containers.runtime.providers import ContainerProvider, RuntimeProvider
    from openenv.core.sync_client import SyncEnvClient

__all__ = ["ActT", "EnvClient", "ObsT", "StateT"]

ActT = TypeVar("ActT")

MODE_VARIABLE = "OPENENV_CLIENT_MODE"
_MODES = ("simulation", "production")
_SPACES_GIT = "git+https://huggingface.co/spaces"
_RUN_OPTIONS = ("port", "env_vars", "workers")


class EnvClient(ABC, Generic[ActT, ObsT, StateT]):
    """A session with an environment on a server.

    One object for both ways of use, and the first use decides: ``await`` and ``async with`` in coroutines; the same
    calls without ``await``, and ``with``, where no event loop runs. `close` frees the choice again. `sync` gives a
    client that always blocks.

    When the socket is lost, the session is lost too: every further call raises `openenv.errors.SessionLost`, until
    `reset` has opened a new one. What the server refuses is a ``RuntimeError`` that reads
    ``Server error: <message> (code: <code>)``; nobody answering is a ``ConnectionError``, too late an answer a
    ``TimeoutError``.

    A subclass says how actions are sent and answers are read: `_step_payload`, `_parse_result`, `_parse_state`.

    Args:
        base_url: The server: ``http://``, ``https://``, ``ws://``, ``wss://`` or ``host:port``; a path prefix is kept.
        connect_timeout_s: Seconds for the handshake.
        message_timeout_s: Seconds for one answer.
        max_message_size_mb: The largest answer taken, in MiB.
        websocket_ping_interval_s: Seconds between pings that find a dead peer; ``None`` sends none.
        websocket_ping_timeout_s: Seconds to wait for a pong.
        provider: Runs the server: stopped by `close`, and without ``base_url`` also started when first needed.
        mode: ``simulation`` or ``production``; else ``OPENENV_CLIENT_MODE``, else ``simulation``. Only clients of
            tools ask for it.
        headers: Sent with the handshake.

    Raises:
        ValueError: An argument makes no sense, or there is neither ``base_url`` nor ``provider``.
    """

    _link: Link

    def __init__(
        self,
        base_url: str | None = None,
        connect_timeout_s: float | None = 10.0,
        message_timeout_s: float | None = 60.0,
        max_message_size_mb: float | None = 100.0,
        websocket_ping_interval_s: float | None = 20.0,
        websocket_ping_timeout_s: float | None = 20.0,
        provider: ContainerProvider | RuntimeProvider | None = None,
        mode: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if base_url is None and provider is None:
            raise BadSetting(
                f"{type(self).__name__} needs base_url or provider",
                field="base_url",
                hint='As in base_url="http://localhost:8000".',
            )
        self._mode = _checked_mode(mode)
        options = {
            "connect_timeout_s": connect_timeout_s,
            "message_timeout_s": message_timeout_s,
            "max_message_size_mb": max_message_size_mb,
            "websocket_ping_interval_s": websocket_ping_interval_s,
            "websocket_ping_timeout_s": websocket_ping_timeout_s,
            "headers": headers,
        }
        self._link = self._make_link(base_url.rstrip("/") if base_url is not None else None, options, provider)

    # What a subclass has to say.

    @abstractmethod
    def _step_payload(self, action: ActT) -> dict[str, Any]:
        """The action as the JSON object that a step sends."""

    @abstractmethod
    def _parse_result(self, payload: dict[str, Any]) -> StepResult[ObsT]:
        """The result in an answer's ``{"observation", "reward", "done", "metadata"?}``."""

    @abstractmethod
    def _parse_state(self, payload: dict[str, Any]) -> StateT:
        """The state in an answer."""

    # What a user calls. Each returns its value where callers block, and what is to be awaited where they await.

    @property
    def base_url(self) -> str | None:
        """The server's URL as it was given, or as the provider told it; ``None`` before that."""
        return self._link.base_url

    def connect(self) -> Any:
        """Open the socket, if it is not, and return this client. A server's refusal shows with the first operation only."""
        return self._link.call(self._connect_async, "connect")

    def disconnect(self) -> Any:
        """End the session and its socket; the provider's server runs on. `connect` and `reset` open another session."""
        return self._link.call(self._disconnect_async, "disconnect", last=True)

    def reset(self, **kwargs: Any) -> Any:
        """Begin an episode, in a new session where there is none or the old one is lost; a `StepResult`.

        Args:
            kwargs: What the environment's ``reset`` takes, such as ``seed`` and ``episode_id``.
        """
        return self._link.call(lambda: self._reset_async(**kwargs), "reset")

    def step(self, action: ActT, **kwargs: Any) -> Any:
        """Take one step; a `StepResult`. The dialect has no room for ``kwargs``: they are taken and not sent."""
        return self._link.call(lambda: self._step_async(action, **kwargs), "step")

    def state(self) -> Any:
        """Where the episode stands."""
        return self._link.call(self._state_async, "state")

    def close(self) -> Any:
        """End the session, those made by `new_session`, and the provider's server. More than one call does no harm."""
        return self._link.call(self._close_async, "close", last=True)

    def new_session(self) -> Any:
        """A client of the same kind with a session of its own on the same server, connected. It closes with this one."""
        return self._link.call(self._new_session_async, "new_session")

    def sync(self) -> SyncEnvClient[ActT, ObsT, StateT]:
        """A client that blocks, over this one."""
        from openenv.core.sync_client import SyncEnvClient

        return SyncEnvClient(self)

    async def __aenter__(self) -> Self:
        self._link.claim("async")
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self._link.claim("sync")
        try:
            self._link.settle(self.connect())
        except BaseException:
            self._close_blocking()
            raise
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        self._close_blocking()

    # Servers that a client has of its own.

    @classmethod
    def from_docker_image(cls, image: str, provider: ContainerProvider | None = None, **kwargs: Any) -> Bootstrap[Self]:
        """A client of a container made of this image, which `close` stops.

        Args:
            image: The image's name.
            provider: Starts the container; a `LocalDockerProvider` unless given.
            kwargs: For its ``start_container``, such as ``port`` and ``env_vars``.

        Returns:
            A handle: ``await`` it for the client, or take its ``sync()``. The container starts then.
        """
        return Bootstrap(lambda: cls._in_container(image, provider, kwargs))

    @classmethod
    def from_env(
        cls,
        repo_id: str,
        *,
        use_docker: bool = True,
        provider: ContainerProvider | RuntimeProvider | None = None,
        **provider_kwargs: Any,
    ) -> Bootstrap[Self]:
        """A client of an environment from a Hugging Face Space, run on this machine.

        Args:
            repo_id: The Space, as ``owner/name``.
            use_docker: Run the Space's image in a container; else its project with ``uv``.
            provider: Runs it; by default a `LocalDockerProvider` or a `UVProvider`.
            provider_kwargs: For ``start_container``, and ``tag`` of the image (``latest``); or for `UVProvider` and its
                ``start``.

        Returns:
            A handle, as of `from_docker_image`.
        """
        if use_docker:
            options = dict(provider_kwargs)
            image = space_image(repo_id, options.pop("tag", "latest"))
            return Bootstrap(lambda: cls._in_container(image, provider, options))
        return Bootstrap(lambda: cls._in_process(repo_id, provider, provider_kwargs))

    @classmethod
    def _in_container(cls, image: str, provider: Any, options: dict[str, Any]) -> Self:
        if provider is None:
            from openenv.core.containers.runtime.providers import LocalDockerProvider

            provider = LocalDockerProvider()
        if not hasattr(provider, "start_container"):
            raise BadSetting(
                f"{type(provider).__name__} runs no containers",
                field="provider",
                hint="Give a ContainerProvider, or use_docker=False.",
            )
        return cls(base_url=run_container(provider, image, **options), provider=provider)

    @classmethod
    def _in_process(cls, repo_id: str, provider: Any, options: dict[str, Any]) -> Self:
        if provider is None:
            from openenv.core.containers.runtime.uv_provider import UVProvider

            settings: dict[str, Any] = {"project_path": f"{_SPACES_GIT}/{repo_id}"} | {
                name: value for name, value in options.items() if name not in _RUN_OPTIONS
            }
            provider = UVProvider(**settings)
            options = {name: options[name] for name in _RUN_OPTIONS if name in options}
        elif options:
            raise BadSetting(
                f"{', '.join(options)} cannot be given beside a provider", field="provider", hint="Give them to the provider."
            )
        return cls(base_url=run_runtime(provider, **options), provider=provider)

    # Underneath.

    def _make_link(self, base_url: str | None, options: dict[str, Any], provider: Any) -> Link:
        return Link(base_url, options, provider)

    async def _connect_async(self) -> Self:
        await self._link.connect()
        return self

    async def _disconnect_async(self) -> None:
        await self._link.disconnect()

    async def _reset_async(self, **kwargs: Any) -> StepResult[ObsT]:
        return self._parse_result(await self._link.reset(kwargs))

    async def _step_async(self, action: ActT, **kwargs: Any) -> StepResult[ObsT]:
        return self._parse_result(await self._link.step(self._step_payload(action)))

    async def _state_async(self) -> StateT:
        return self._parse_state(await self._link.state())

    async def _close_async(self) -> None:
        await self._link.close()

    async def _new_session_async(self) -> Self:
        # A copy, because a subclass's constructor may take anything.
        twin = copy.copy(self)
        twin._link = self._link.branch()
        await twin._connect_async()
        return twin

    def _blocking(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call one of this client's methods and wait for its value, whichever way a subclass has written it."""
        self._link.claim("sync")
        return self._link.settle(method(*args, **kwargs))

    def _close_blocking(self) -> None:
        try:
            self._blocking(self.close)
        finally:
            self._link.release()


def _checked_mode(mode: str | None) -> str:
    given = mode if mode is not None else os.environ.get(MODE_VARIABLE) or "simulation"
    if not isinstance(given, str) or given.lower() not in _MODES:
        raise BadSetting(
            f"Invalid mode: {given!r}. A client's mode is {' or '.join(_MODES)}, as an argument or in {MODE_VARIABLE}.",
            field="mode",
        )
    return given.lower()
