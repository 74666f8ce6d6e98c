"""OpenEnv 0.10's environments as guests of the engine: what each call becomes, and on which thread it runs.

0.10 promised its environments one thread for factory, ``reset``, ``step`` and ``close``, unvalidated keyword arguments,
no reset unasked, and asynchronous methods on the server's event loop. A guest is a native environment that keeps those
promises towards the instance that it holds.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from openenv.core.env_server.interfaces import Environment as CoreEnvironment
from openenv.core.env_server.interfaces import TaskProvider
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolObservation, ListToolsObservation, ToolErrorType
from openenv.core.env_server.own_thread import OwnThread
from openenv.environment import AsyncEnvironment, Environment
from openenv.errors import (
    ConfigurationError,
    ExecutionFailed,
    InvalidArguments,
    OpenEnvError,
    ToolFailed,
    ToolNotFound,
    Unsupported,
)
from openenv.runtime.answers import settled
from openenv.tools import ToolOutcome
from openenv.tools.environment import TOOL_TIMEOUT
from openenv.types import CallToolAction, ListToolsAction, ToolListing

__all__ = ["Guest", "LoopGuest", "ThreadGuest", "guest_type"]

_QUESTIONS = tuple(name for name in vars(TaskProvider) if not name.startswith("_"))


class Guest:
    """What both kinds of guest have: the instance, and the names that its methods take."""

    factory: ClassVar[tuple[Callable[[], Any]]]
    """The author's factory; in a tuple, so that it does not become a method."""
    mode: ClassVar[str] = "simulation"
    steps_list_tools: ClassVar[bool] = False
    """Whether the tools are asked for by a step, as where the action type is a tool action and there is no FastMCP server."""

    inner: Any
    takes_arguments_unchecked: ClassVar[bool] = True
    auto_reset: ClassVar[bool] = False
    metadata_by_instance: ClassVar[bool] = True

    @classmethod
    def made(cls) -> Any:
        """What the author's factory makes. An error of this project that it raises is the factory's failure like any other."""
        try:
            return cls.factory[0]()
        except ConfigurationError:
            raise  # what the operator has to mend is told
        except OpenEnvError as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def adopt(self, inner: Any) -> None:
        """Hold the instance that the factory made."""
        self.inner = inner
        if isinstance(inner, MCPEnvironment):
            inner.set_mode(self.mode)

    @property
    def state(self) -> Any:
        """The instance's own."""
        return _state_of(self)

    def question(self, name: str) -> Callable[..., Any] | None:
        """The instance's answer to a question about itself or its tasks."""
        method = getattr(self.inner, name, None)
        return _with_own_errors(method) if callable(method) else None

    def tool_action(self, name: str, arguments: Mapping[str, Any]) -> CallToolAction:
        """A tool call as an action."""
        self.refuse_without_tools()
        return CallToolAction(tool_name=name, arguments=dict(arguments))

    def outcome_of(self, action: Any, observation: Any) -> ToolOutcome | None:
        """What an observation tells of a tool call."""
        if not isinstance(action, CallToolAction):
            return None
        error = getattr(observation, "error", None)
        value = observation.result if isinstance(observation, CallToolObservation) else observation.model_dump(mode="json")
        return ToolOutcome(action.tool_name, value=value, error=None if error is None else _typed(error, action.tool_name))

    def arguments_of(self, action: Any) -> Mapping[str, Any]:
        """The arguments of a tool call."""
        return getattr(action, "arguments", None) or {}

    def refuse_without_tools(self) -> None:
        """Raise `Unsupported` when this environment knows no tool calls."""
        if not self.steps_list_tools and not isinstance(self.inner, MCPEnvironment):
            raise Unsupported("Environment does not support MCP", hint="It has no tools; use step.")


class ThreadGuest(Guest, Environment[Any, Any, Any]):
    """A guest whose methods are synchronous: everything runs on its lane's one thread."""

    affinity = True

    def __init__(self) -> None:
        self.adopt(self.made())

    def reset(self, /, **kwargs: Any) -> Any:
        """The instance's reset, with what it names of what was sent."""
        with _OwnErrors():
            return self.inner.reset(**taken(self.inner.reset, kwargs))

    def step(self, action: Any, /, **kwargs: Any) -> Any:  # type: ignore[override]
        """The instance's step."""
        if not kwargs:
            with _OwnErrors():
                return self.inner.step(action)
        with _OwnErrors():
            return self.inner.step(action, **taken(self.inner.step, kwargs, given=1))

    def tool_listings(self) -> Sequence[ToolListing]:
        """The tools, asked for by a step."""
        self.refuse_without_tools()
        with _OwnErrors():
            return _listings(self.inner.step(ListToolsAction()))

    def close(self) -> None:
        """The instance's close."""
        self.inner.close()


class LoopGuest(Guest, AsyncEnvironment[Any, Any, Any]):
    """A guest with asynchronous methods: those run on the event loop, the others on one thread of the session's own."""

    thread_of_all: ClassVar[OwnThread | None] = None
    """The thread of every session, where the author's class asks for one; it lasts as long as the process."""

    def __init__(self) -> None:
        self._thread = self.thread_of_all or OwnThread()
        try:
            self.adopt(self._thread.submit(self.made).result())
        except BaseException:
            self._leave_thread()
            raise
        self._reset = self._way_of("reset")
        self._step = self._way_of("step")

    async def read_state(self) -> Any:
        """The instance's own, on the thread where it was made: it may block, and what it reads may belong to that thread.

        What was made on the event loop may not be read elsewhere, so where that fails it is read there, as 0.10 does.
        """
        read = functools.partial(_state_of, self)
        try:
            return await self._off_the_loop(read)()
        except (Exception, SystemExit):  # noqa: BLE001 - what it raises here is raised again there
            outcome = read()
            return await outcome if inspect.isawaitable(outcome) else outcome

    async def reset(self, /, **kwargs: Any) -> Any:
        """The instance's reset, the asynchronous one where it has its own."""
        await self._connect()
        with _OwnErrors():
            return await self._reset(**taken(self._method("reset"), kwargs))

    async def step(self, action: Any, /, **kwargs: Any) -> Any:  # type: ignore[override]
        """The instance's step, likewise."""
        await self._connect()
        with _OwnErrors():
            return await self._step(action, **(taken(self._method("step"), kwargs, given=1) if kwargs else {}))

    async def tool_listings(self) -> Sequence[ToolListing]:
        """The FastMCP server's tools, or those that a step lists."""
        self.refuse_without_tools()
        await self._connect()
        if isinstance(self.inner, MCPEnvironment):
            return await self.inner.tool_listings()
        with _OwnErrors():
            return _listings(await self._step(ListToolsAction()))

    def question(self, name: str) -> Callable[..., Any] | None:
        """As `Guest.question`; what is synchronous runs on the thread."""
        method = super().question(name)
        if method is None or inspect.iscoroutinefunction(method):
            return method
        known = method

        def answer(**arguments: Any) -> Any:
            return settled(known(**arguments), name)

        return self._off_the_loop(answer)

    async def close(self) -> None:
        """The instance's close, after its connection to a FastMCP server has ended."""
        try:
            if isinstance(self.inner, MCPEnvironment):
                await self.inner.disconnect()
        finally:
            try:
                await self._off_the_loop(self.inner.close)()
            finally:
                self._leave_thread()

    def _leave_thread(self) -> None:
        if self._thread is not self.thread_of_all:
            self._thread.shutdown(wait=False)

    async def _connect(self) -> None:
        if isinstance(self.inner, MCPEnvironment):
            await self.inner.connect()

    def _method(self, verb: str) -> Callable[..., Any]:
        name = f"{verb}_async" if _is_asynchronous(type(self.inner), verb) else verb
        method: Callable[..., Any] = getattr(self.inner, name)
        return method

    def _way_of(self, verb: str) -> Callable[..., Awaitable[Any]]:
        return self._off_the_loop(self._method(verb))

    def _off_the_loop(self, method: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """The method as it is when it is a coroutine's, else run on the thread."""
        if inspect.iscoroutinefunction(method):
            return method

        def run(*args: Any, **kwargs: Any) -> tuple[Any, BaseException | None]:
            try:
                return method(*args, **kwargs), None
            except BaseException as error:  # noqa: BLE001 - handed on
                return None, error  # a future can hold no StopIteration

        async def call(*args: Any, **kwargs: Any) -> Any:
            running = self._thread.submit(run, *args, **kwargs)
            work = asyncio.wrap_future(running)
            try:
                outcome, raised = await asyncio.shield(work)
            except asyncio.CancelledError:
                if not running.cancel():
                    await asyncio.wait([work])  # a thread cannot be stopped, and until it ends the world is busy
                raise
            if raised is not None:
                raise raised
            return await outcome if inspect.isawaitable(outcome) else outcome

        return call


def _state_of(guest: Guest) -> Any:
    with _OwnErrors():
        return guest.inner.state


def guest_type(factory: Callable[[], Any], inner_type: type, *, mode: str, steps_list_tools: bool) -> type[Any]:
    """The native class for what a 0.10 factory makes."""
    asynchronous = any(_is_asynchronous(inner_type, verb) for verb in ("reset", "step"))
    coroutines = any(inspect.iscoroutinefunction(getattr(inner_type, name, None)) for name in (*_QUESTIONS, "reset", "step"))
    unknown = inner_type is object
    base: type[Guest] = LoopGuest if asynchronous or coroutines or unknown else ThreadGuest
    if issubclass(inner_type, MCPEnvironment):
        base = _mcp_guest(inner_type)
    known = {"factory": (factory,), "mode": mode, "steps_list_tools": steps_list_tools, "__doc__": inner_type.__doc__}
    if getattr(inner_type, "REQUIRES_SINGLE_THREAD_EXECUTOR", False):
        known["thread_of_all"] = OwnThread()
    return type(inner_type.__name__, (base,), known)


def _mcp_guest(inner_type: type) -> type[Guest]:
    from openenv.core.harness.environment import HarnessEnvironment
    from openenv.core.harness.guest import HarnessGuest

    return HarnessGuest if issubclass(inner_type, HarnessEnvironment) else LoopGuest


def taken(method: Callable[..., Any], arguments: Mapping[str, Any], *, given: int = 0) -> dict[str, Any]:
    """What a method takes of what was sent: everything with ``**kwargs``, else what it names.

    Its first parameters, of which ``given`` are given by position, are nobody's to name.
    """
    function = getattr(method, "__func__", None)
    ours, names = _names_of(function or method, given + (function is not None))
    return {key: value for key, value in arguments.items() if key not in ours and (names is None or key in names)}


@functools.lru_cache(maxsize=512)
def _names_of(function: Callable[..., Any], given: int) -> tuple[frozenset[str], frozenset[str] | None]:
    parameters = list(inspect.signature(function).parameters.values())
    ours = frozenset(one.name for one in parameters[:given])
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return ours, None
    return ours, frozenset(one.name for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD))


def _is_asynchronous(inner_type: type, verb: str) -> bool:
    """Whether the class has its own ``reset_async`` or ``step_async``, and no later ``reset`` or ``step`` in its line."""
    name = f"{verb}_async"
    own = getattr(inner_type, name, None)
    if own is None or own is getattr(CoreEnvironment, name):
        return False
    line = inner_type.__mro__
    written = {one: next((at for at, base in enumerate(line) if one in vars(base)), len(line)) for one in (verb, name)}
    return written[name] <= written[verb]


def _listings(observation: Any) -> Sequence[ToolListing]:
    tools = observation.tools if isinstance(observation, ListToolsObservation) or hasattr(observation, "tools") else []
    return [ToolListing(one.name, one.description, one.input_schema, annotations={}) for one in tools]


def _typed(error: Any, tool: str) -> OpenEnvError:
    """An observation's tool error as one of the project's."""
    kind, message = getattr(error, "error_type", None), str(getattr(error, "message", error))
    if kind == ToolErrorType.TOOL_NOT_FOUND:
        return ToolNotFound(message, field="tool_name", hint="List the tools to see their names.")
    if kind == ToolErrorType.INVALID_ARGS:
        return ToolFailed(message, code=InvalidArguments.code)
    if kind == ToolErrorType.TIMEOUT:
        return ToolFailed(message, code=TOOL_TIMEOUT)
    return ToolFailed(message, code=ExecutionFailed.code)


class _OwnErrors:
    """What a 0.10 environment raises is an ``EXECUTION_ERROR`` whatever its class, those of this project included."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OpenEnvError) and not isinstance(error, ExecutionFailed):
            raise ExecutionFailed(str(error)) from error


def _with_own_errors(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, a coroutine's or not, under `_OwnErrors`."""

    async def later(**arguments: Any) -> Any:
        with _OwnErrors():
            return await method(**arguments)

    def now(**arguments: Any) -> Any:
        with _OwnErrors():
            return method(**arguments)

    return later if inspect.iscoroutinefunction(method) else now
