"""The application: wiring only."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.routing import WebSocketRoute

from openenv.environment import AsyncEnvironment, Environment
from openenv.errors import ConfigurationError, OpenEnvError
from openenv.middleware import JsonLog, Metrics
from openenv.protocol import SocketCodec
from openenv.runtime import EnvironmentSpecification, Pipeline, SessionManager
from openenv.runtime.executors import THREADS, Processes, ProcessPool, ThreadPool
from openenv.server.core import ServerCore
from openenv.server.described import describe
from openenv.server.guard import Guard
from openenv.server.http import HttpRoutes, error_response
from openenv.server.mcp import McpRoute
from openenv.server.probes import Probes
from openenv.server.tasks import TaskRoutes
from openenv.server.tokens import TokenRoutes
from openenv.server.websocket import McpSocket, WebSocketDoor
from openenv.tools import ToolEnvironment
from openenv.types import Action, Observation, State, ToolAction

__all__ = ["create_app", "create_fastapi_app", "empty_application", "mount", "serve_with", "server_mode"]


def create_app(
    factory: Callable[..., Any],
    action_type: Any = None,
    observation_type: type[Observation] | None = None,
    env_name: str | None = None,
    *,
    state_type: type[State] = State,
    middleware: Sequence[Any] = (),
    log: bool = True,
    metrics: bool = True,
    max_sessions: int = 10_000,
    session_lease_s: float | None = 900.0,
    resume_lease_s: float = 60.0,
    threads: int = THREADS,
    hang_limit_s: float | None = 300.0,
    processes: Processes | int = 16,
    mode: str | None = None,
    allowed_hosts: Sequence[str] | None = None,
    allowed_origins: Sequence[str] | None = None,
) -> FastAPI:
    """Serve an environment.

    Args:
        factory: The environment's class, or a function that makes one: called once per world, so that sessions share
            nothing. It may take an `openenv.Context` and an `openenv.Principal`.
        action_type: The type of actions; from the class's type arguments when absent.
        observation_type: The type of observations, likewise.
        env_name: The name in metrics, logs and ``/list_environments``.
        state_type: The type of states, for ``/schema``.
        middleware: Yours, called after the built-in ones.
        log: Whether to write a JSON line per session and episode to standard error.
        metrics: Whether to count and to serve ``/metrics``.
        max_sessions: Sessions of every kind at once; one more is refused with ``CAPACITY_REACHED``.
        session_lease_s: How long a session without a socket lives after its last request; None is for ever.
        resume_lease_s: The same for a session that was opened over protocol v2: how long a client has to come back.
        threads: Threads for environments that run on the pool: so many steps that block can run at once.
        hang_limit_s: After how long a step's thread is given up, or its process ended, and its world fails; None is never.
        processes: Worker processes at once, for ``execution = "process"``, one for each world; or `Processes`, which says more.
        mode: ``production`` leaves ``/reset``, ``/step`` and ``/state`` out of HTTP; by default ``OPENENV_MODE``, or
            ``simulation``.
        allowed_hosts: Names that browsers and MCP clients may ask for beside loopback ones; ``*`` is any. See `Guard`.
            Those in the variable ``OPENENV_ALLOWED_HOSTS`` (with commas between) are allowed too.
        allowed_origins: Origins, as in ``https://example.org``, whose pages may ask; and ``OPENENV_ALLOWED_ORIGINS``.

    Raises:
        TypeError: ``factory`` is an instance.
        ConfigurationError: a type is missing, or the factory asks for something that nobody can give.
    """
    specification = _specified(factory, action_type, observation_type, state_type, env_name)
    pool = ThreadPool(shared=threads, pinned=threads, hang_limit_s=hang_limit_s)
    workers = ProcessPool(specification, processes, hang_limit_s=hang_limit_s) if specification.in_process else None
    manager = SessionManager(specification, max_sessions=max_sessions, lease_s=session_lease_s, pool=pool, workers=workers)
    core, counted = serve_with(manager, middleware, log=log, metrics=metrics, simulation=server_mode(mode) == "simulation")
    core.guard = core.guard.allowing(allowed_hosts, allowed_origins)
    core.resume_lease_s = resume_lease_s
    app = empty_application(specification.name)
    mount(app, core, counted)
    return app


def _specified(
    factory: Callable[..., Any], action_type: Any, observation_type: Any, state_type: type[State], env_name: str | None
) -> EnvironmentSpecification:
    """What is known of the environment, with the types that the caller left out. Raises as `create_app`."""
    found_action, found_observation = types_of(factory)
    action_type = action_type or found_action
    observation_type = observation_type or found_observation
    if action_type is None or observation_type is None:
        raise ConfigurationError(
            "the types of actions and observations are not known",
            hint="create_app(MyEnvironment, MyAction, MyObservation), or class MyEnvironment(Environment[MyAction, …]).",
        )
    specification = EnvironmentSpecification.of(factory, action_type, observation_type, state_type, env_name)
    if action_type is Action and specification.has_tools:
        specification = replace(specification, action_type=ToolAction)
    return specification


def create_fastapi_app(factory: Callable[..., Any], *args: Any, **kwargs: Any) -> FastAPI:
    """`create_app` under the name that OpenEnv gave it."""
    return create_app(factory, *args, **kwargs)


def empty_application(name: str) -> FastAPI:
    """An application with the title and version that OpenEnv's clients look for, and no routes yet."""
    return FastAPI(title="OpenEnv Environment HTTP API", version="1.0.0", description=f"The environment {name}.")


def serve_with(
    manager: SessionManager, middleware: Sequence[Any], *, log: bool = True, metrics: bool = True, simulation: bool = True
) -> tuple[ServerCore, Metrics | None]:
    """What serves a manager's sessions, behind the built-in middleware and then the given one."""
    specification = manager.specification
    counted = Metrics(specification.name, lambda: manager.active) if metrics else None
    lines = JsonLog(specification.name) if log else None
    if lines is not None and manager.workers is not None:
        manager.workers.on_lost = lines.worker_lost
    pipeline = Pipeline(manager, [*(one for one in (lines, counted) if one is not None), *middleware])
    core = ServerCore(specification, manager, pipeline, SocketCodec(specification.action_type), simulation=simulation)
    core.guard = Guard.of(_listed("OPENENV_ALLOWED_HOSTS"), _listed("OPENENV_ALLOWED_ORIGINS"))
    if key := os.environ.get("OPENENV_SNAPSHOT_KEY"):
        core.snapshot_key = key.encode()
    return core, counted


def _listed(variable: str) -> list[str]:
    return [one for one in os.environ.get(variable, "").split(",") if one.strip()]


def mount(app: FastAPI, core: ServerCore, metrics: Metrics | None, *, lives: set[object] | None = None) -> None:
    """Add every route to an application, and the server's life to the application's.

    Its environments are closed while what the application's own lifespan opened is still there.

    Args:
        app: The application.
        core: What is served.
        metrics: What ``/metrics`` shows.
        lives: Shared by mounts of the same sessions: those end with the last of the applications.
    """
    inner = app.router.lifespan_context
    running: set[object] = set() if lives is None else lives

    @asynccontextmanager
    async def lifespan(application: Any) -> AsyncIterator[Any]:
        core.manager.start()
        async with inner(application) as state:
            life = object()
            running.add(life)
            try:
                yield state
            finally:
                running.discard(life)
                if not running:
                    await core.shutdown()

    app.router.lifespan_context = lifespan
    app.state.openenv = core
    describe(app)
    HttpRoutes(core).register(app.router)
    TokenRoutes(core).register(app.router)
    McpRoute(core).register(app.router)
    Probes(core, metrics).register(app.router)
    app.router.routes.append(WebSocketRoute("/ws", WebSocketDoor(core)))
    app.router.routes.append(WebSocketRoute("/mcp", McpSocket(core)))
    TaskRoutes(core).register(app.router)
    app.add_exception_handler(OpenEnvError, _answer_error)


def server_mode(mode: str | None) -> Literal["simulation", "production"]:
    """The mode by argument, else by the variable ``OPENENV_MODE``, else simulation. Raises ``ValueError`` for another."""
    asked: Any = mode if mode is not None else os.environ.get("OPENENV_MODE") or "simulation"
    known = str(getattr(asked, "value", asked)).lower()
    if known == "simulation":
        return "simulation"
    if known == "production":
        return "production"
    raise ValueError(f"Invalid mode: '{asked}'. Must be one of: ['simulation', 'production']")


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, OpenEnvError):
        core: ServerCore = request.app.state.openenv
        return error_response(core.told(error, "http", request.scope))
    return await http_exception_handler(request, error)  # type: ignore[arg-type]


def types_of(factory: Any) -> tuple[Any, Any]:
    """The types in ``class MyEnvironment(Environment[MyAction, MyObservation, …])``; a tool environment has defaults.

    A function that makes the environment tells its class with its return annotation.
    """
    if not isinstance(factory, type):
        factory = get_type_hints(factory).get("return") if inspect.isfunction(factory) else None
        if not isinstance(factory, type):
            return None, None
    for base in factory.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            known = isinstance(origin, type) and issubclass(origin, (Environment, AsyncEnvironment))
            if known and len(arguments) >= 2 and all(isinstance(one, type) for one in arguments[:2]):
                return arguments[0], arguments[1]
    if issubclass(factory, ToolEnvironment):
        return ToolAction, Observation
    return None, None
