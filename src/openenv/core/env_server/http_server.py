"""Serving an environment as OpenEnv 0.10 does: its functions, its signatures, its defaults, on this project's engine."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from openenv.core.env_server.exceptions import ConcurrencyConfigurationError
from openenv.core.env_server.guest import guest_type
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.serialization import action_type_for
from openenv.core.env_server.types import (
    Action,
    ConcurrencyConfig,
    Observation,
    ServerCapacityStatus,
    ServerMode,
    SessionInfo,
    State,
)
from openenv.errors import ConfigurationError
from openenv.middleware import Metrics
from openenv.runtime import EnvironmentSpecification, SessionManager
from openenv.runtime.executors import ThreadPool
from openenv.runtime.stateless import AT_ONCE
from openenv.server.app import empty_application, mount, serve_with, server_mode
from openenv.server.core import ServerCore
from openenv.types import CallToolAction, ListToolsAction

__all__ = ["HTTPEnvServer", "create_app", "create_fastapi_app"]

log = logging.getLogger("openenv.core")

FACTORY_THREADS = 32
"""Threads that wait for asynchronous environments to be made."""
DEFAULT_LEASE_S = 900.0
"""For idle sessions without a socket, where no ``session_timeout`` says otherwise."""


class HTTPEnvServer:
    """An environment's server, for applications of one's own: ``HTTPEnvServer(MyEnv, A, O).register_routes(app)``.

    Args:
        env: The environment's class or a function that makes one; never an instance.
        action_cls: The type of actions.
        observation_cls: The type of observations.
        max_concurrent_envs: Sessions of every kind at once; 1 when nothing is said.
        concurrency_config: The same and more, in its place.
        env_name: The name in routes, metrics and logs; the factory's own by default.
        state_cls: The type of states, for ``/schema``.
        reset_observation_cls: The type of what ``reset`` returns, where that is another.

    Raises:
        TypeError: ``env`` cannot be called.
        ValueError: Both ``max_concurrent_envs`` and ``concurrency_config`` are given.
        ConcurrencyConfigurationError: More than one session, of a class without ``SUPPORTS_CONCURRENT_SESSIONS``.
    """

    def __init__(
        self,
        env: Callable[[], Any],
        action_cls: type[Action],
        observation_cls: type[Observation],
        max_concurrent_envs: int | None = None,
        concurrency_config: ConcurrencyConfig | None = None,
        env_name: str | None = None,
        state_cls: type[State] = State,
        *,
        reset_observation_cls: type[Observation] | None = None,
    ) -> None:
        if not callable(env):
            raise TypeError(
                f"env must be a callable (class or factory function), got {type(env)}. Pass the environment class "
                "(e.g. MyEnvironment) or a function that returns a new instance, not an instance: "
                "`create_app(lambda: MyEnvironment(...), MyAction, MyObservation)`."
            )
        if max_concurrent_envs is not None and concurrency_config is not None:
            raise ValueError("give max_concurrent_envs or concurrency_config, not both: they say the same thing")
        self._env = env
        self.action_cls = action_cls
        self.observation_cls = observation_cls
        self.state_cls = state_cls
        self.reset_observation_cls = reset_observation_cls
        self.env_name: str = env_name or str(getattr(env, "__name__", "environment"))
        self._config = concurrency_config or ConcurrencyConfig(
            max_concurrent_envs=1 if max_concurrent_envs is None else max_concurrent_envs
        )
        self._known_type = _class_of(env)
        if self._config.max_concurrent_envs > 1 and not self.is_concurrency_safe:
            raise ConcurrencyConfigurationError(self._inner_type.__name__, self._config.max_concurrent_envs)
        self._core: ServerCore | None = None
        self._metrics: Metrics | None = None
        self._lives: set[object] = set()

    @property
    def _inner_type(self) -> type:
        """The environment's class. A function is called once to see what it makes, when that has to be known."""
        if self._known_type is None:
            self._known_type = _type_made_by(self._env, tolerant=self._config.max_concurrent_envs == 1)
        return self._known_type

    @property
    def concurrency_config(self) -> ConcurrencyConfig:
        """How many sessions, and for how long."""
        return self._config

    @property
    def max_concurrent_envs(self) -> int:
        """Sessions of every kind at once."""
        return self._config.max_concurrent_envs

    @property
    def active_sessions(self) -> int:
        """Sessions that are open."""
        return self._core.manager.active if self._core else 0

    @property
    def is_concurrency_safe(self) -> bool:
        """Whether the class says that it can have more than one session at once."""
        return bool(getattr(self._inner_type, "SUPPORTS_CONCURRENT_SESSIONS", False))

    def get_capacity_status(self) -> ServerCapacityStatus:
        """How many sessions there are and may be."""
        return ServerCapacityStatus.from_counts(self.active_sessions, self.max_concurrent_envs)

    def get_session_info(self, session_id: str) -> SessionInfo | None:
        """What is known of a session, or None."""
        session = self._core.manager.sessions.get(session_id) if self._core else None
        if session is None:
            return None
        environment: Any = session.world.play.environment if session.world.play else None
        return SessionInfo(
            session_id=session.id,
            created_at=session.created_at.timestamp(),
            last_activity_at=time.time() - session.world.idle_s,
            step_count=session.describe()["steps"],
            environment_type=type(environment.inner).__name__ if environment else "",
        )

    def register_routes(self, app: FastAPI, mode: ServerMode | str = ServerMode.SIMULATION) -> None:
        """Add every route to an application, and this server's life to the application's.

        All applications of one server share its sessions and their limit; those end with the last of them. The mode in which
        an environment chooses its tools is the first one's. Raises ``ValueError`` for a mode that there is not.
        """
        known = server_mode(mode)
        if self._core is None:
            self._core, self._metrics = serve_with(self._manager(self._specification(known)), ())
        core = replace(self._core, simulation=known == "simulation", lists_for_strangers=False)
        mount(app, core, self._metrics, lives=self._lives)
        if known == "production" and issubclass(self._inner_type, MCPEnvironment):
            self._register_harness(app, core)

    def _register_harness(self, app: FastAPI, core: ServerCore) -> None:
        """``WS /harness``, where the environment is an agent."""
        from openenv.core.harness.environment import HarnessEnvironment
        from openenv.core.harness.route import HarnessSocket

        if issubclass(self._inner_type, HarnessEnvironment):
            app.router.routes.append(WebSocketRoute("/harness", HarnessSocket(core)))

    def _specification(self, mode: str) -> EnvironmentSpecification:
        """What is served. With one session nothing of a function's product has to be known before that session is there."""
        inner_type = (self._known_type or object) if mode == "simulation" else self._inner_type
        kind = guest_type(self._env, inner_type, mode=mode, steps_list_tools=self.action_cls in (CallToolAction, ListToolsAction))
        specification = EnvironmentSpecification.of(
            kind, action_type_for(self.action_cls), self.observation_cls, self.state_cls, self.env_name
        )
        return replace(
            specification,
            factory_name=getattr(self._env, "__name__", inner_type.__name__),
            shown_action_type=self.action_cls,
            reset_observation_type=self.reset_observation_cls,
        )

    def _manager(self, specification: EnvironmentSpecification) -> SessionManager:
        alone = getattr(self._known_type, "REQUIRES_SINGLE_THREAD_EXECUTOR", False)
        threads = 1 if alone else self.max_concurrent_envs
        pool = ThreadPool(shared=FACTORY_THREADS, pinned=threads, hang_limit_s=None)
        stateless = pool if alone else ThreadPool(shared=AT_ONCE, pinned=AT_ONCE, hang_limit_s=None)
        timeout = self._config.session_timeout
        return SessionManager(
            specification,
            max_sessions=self.max_concurrent_envs,
            lease_s=DEFAULT_LEASE_S if timeout is None else timeout,
            pool=pool,
            stateless_pool=stateless,
        )


def create_app(
    env: Callable[[], Any],
    action_cls: type[Action],
    observation_cls: type[Observation],
    env_name: str | None = None,
    max_concurrent_envs: int | None = None,
    concurrency_config: ConcurrencyConfig | None = None,
    gradio_builder: Callable[..., Any] | None = None,
    custom_tab_name: str = "Custom",
    custom_tab_primary: bool = False,
    show_default_tab: bool = True,
    title_override: str | None = None,
    state_cls: type[State] = State,
    *,
    mode: ServerMode | str | None = None,
    reset_observation_cls: type[Observation] | None = None,
) -> FastAPI:
    """The application that serves an environment; with a web page at ``/web`` where ``ENABLE_WEB_INTERFACE`` is true.

    ``gradio_builder`` and the names of its tabs are taken and not used: the page is a plain one.
    Raises as `HTTPEnvServer` does, and ``ValueError`` for a mode that there is not.
    """
    if os.environ.get("ENABLE_WEB_INTERFACE", "").lower() in ("true", "1", "yes"):
        from openenv.core.env_server.web_interface import create_web_interface_app

        build: Callable[..., FastAPI] = functools.partial(create_web_interface_app, title_override=title_override)
    else:
        build = create_fastapi_app
    return build(
        env,
        action_cls,
        observation_cls,
        max_concurrent_envs=max_concurrent_envs,
        concurrency_config=concurrency_config,
        env_name=env_name,
        state_cls=state_cls,
        mode=mode,
        reset_observation_cls=reset_observation_cls,
    )


def create_fastapi_app(
    env: Callable[[], Any],
    action_cls: type[Action],
    observation_cls: type[Observation],
    max_concurrent_envs: int | None = None,
    concurrency_config: ConcurrencyConfig | None = None,
    env_name: str | None = None,
    state_cls: type[State] = State,
    *,
    mode: ServerMode | str | None = None,
    reset_observation_cls: type[Observation] | None = None,
) -> FastAPI:
    """`create_app` without a web page. Raises as it does."""
    server = HTTPEnvServer(
        env,
        action_cls,
        observation_cls,
        max_concurrent_envs,
        concurrency_config,
        env_name,
        state_cls,
        reset_observation_cls=reset_observation_cls,
    )
    app = empty_application(server.env_name)
    server.register_routes(app, server_mode(mode))
    return app


def _class_of(factory: Callable[[], Any]) -> type | None:
    """The environment's class, where it can be known without calling the factory."""
    target = factory.func if isinstance(factory, functools.partial) else factory
    return target if inspect.isclass(target) else None


def _type_made_by(factory: Callable[[], Any], *, tolerant: bool) -> type:
    """The class of what a function makes: it is called once, and what it made is closed again.

    A function that raises is taken all the same where ``tolerant``: it may work when a session asks. What it will make
    is not known then, and `object` stands for it.
    """
    name = getattr(factory, "__name__", factory)
    try:
        made = factory()
    except (Exception, SystemExit) as error:
        if not tolerant:
            if isinstance(error, SystemExit):
                raise ConfigurationError(f"the factory {name} raised {error!r} when it was tried") from error
            raise
        log.warning("the factory %s raised when it was tried", name, exc_info=True)
        return object
    try:
        _close(made)
    except (Exception, SystemExit):
        log.warning("what the factory %s made raised in close when it was tried", name, exc_info=True)
    return type(made)


def _close(made: Any) -> None:
    """Call ``close``, an asynchronous one on a loop of its own."""
    close = getattr(made, "close", None)
    closing = close() if close is not None else None
    if inspect.isawaitable(closing):
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, _awaited(closing)).result()


async def _awaited(closing: Awaitable[Any]) -> None:
    await closing
