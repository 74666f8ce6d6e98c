"""An environment whose tools are a FastMCP server's (OpenEnv 0.10's ``MCPEnvironment``). Needs ``openenv[mcp]``."""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_types import (
    RESERVED_TOOL_NAMES,
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Tool,
    ToolError,
    ToolErrorType,
)
from openenv.core.env_server.tool_guard import guard_tools
from openenv.core.env_server.tool_results import listing_of, result_of
from openenv.core.env_server.types import Action, Observation
from openenv.errors import ExecutionFailed
from openenv.types import ToolListing, ToolResult

__all__ = ["RESERVED_TOOL_NAMES", "VALID_MODES", "MCPEnvironment", "get_server_tools"]

log = logging.getLogger("openenv.core")

VALID_MODES: Final = frozenset({"production", "simulation"})
CONNECTION_CLOSED: Final = "Connection closed"
"""What FastMCP's client says of every call once its connection has ended."""
DEFAULT_TIMEOUT_S: Final = 30.0
"""For a tool called by a step that says nothing else."""


class MCPEnvironment(Environment[Any, Any, Any]):
    """An environment that routes ``list_tools`` and ``call_tool`` actions to a FastMCP server, and the rest to you.

    Args:
        mcp_server: A ``fastmcp.FastMCP``. Its tools' names may not be ``reset``, ``step``, ``state`` or ``close``.
        transform: For `_apply_transform`.

    Raises:
        ImportError: fastmcp is not installed.
        ValueError: A tool has a reserved name.
    """

    def __init__(self, mcp_server: Any, transform: Any | None = None) -> None:
        super().__init__(transform=transform)
        client_type = _client_type()
        self._validate_tool_names(mcp_server)
        guard_tools(mcp_server)
        self.mcp_server: Any = mcp_server
        self.mcp_client: Any = client_type(mcp_server)
        self._mode: str | None = None
        self._mode_tools: dict[str, dict[str, Callable[..., Any]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session = AsyncExitStack()
        self._connected = False
        self._lost = False
        """Whether a call was told that the connection to the server has ended."""

    # What an author writes and calls.

    @abstractmethod
    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        """Do an action that is no tool call."""

    def tool(self, mode: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a function as a tool: always, or in one mode of the server only.

        Raises:
            ValueError: There is no such mode, or the function's name is reserved.
        """
        if mode is not None and mode not in VALID_MODES:
            raise ValueError(f"Invalid mode '{mode}'. Mode must be 'production', 'simulation', or None.")

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            name = function.__name__
            _refuse_reserved([name])
            if mode is None:
                self._require_mcp_server().tool(function)
            else:
                self._mode_tools.setdefault(name, {})[mode] = function
                if self._mode == mode:
                    self._require_mcp_server().tool(function)
            return function

        return register

    @property
    def supports_code_mode(self) -> bool:
        """Whether there is a server whose tools `execute_code` can call."""
        return self.mcp_server is not None

    @asynccontextmanager
    async def mcp_session(self) -> AsyncIterator[Any]:
        """The client, connected to the server for as long as the block lasts."""
        async with self._require_mcp_client() as client:
            yield client

    def get_callables(self) -> dict[str, Callable[..., Any]]:
        """The tools as plain functions, by name, for code that calls them."""
        self._serve_mode()
        return {name: found.fn for name, found in get_server_tools(self._require_mcp_server()).items() if hasattr(found, "fn")}

    def execute_code(self, code: str) -> Observation:
        """Run Python code that may call the tools by name; what it assigns to ``result`` is in the metadata.

        It runs in this process with all of its rights: for code of your own, not for an agent's.
        """
        namespace: dict[str, Any] = dict(self.get_callables())
        try:
            exec(compile(code, "<string>", "exec"), namespace)
        except SyntaxError as error:
            return Observation(reward=0.0, metadata={"error": f"Syntax error: {error}"})
        except Exception as error:
            log.info("code that was given to execute_code raised", exc_info=True)
            return Observation(reward=0.0, metadata={"error": str(error)})
        return Observation(reward=0.0, metadata={"result": namespace.get("result")})

    def step(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        """List or call tools, or `_step_impl`. For callers without an event loop; those with one await `step_async`."""
        if isinstance(action, (ListToolsAction, CallToolAction)):
            seen: Observation = self._blocking(self._tool_step(action, timeout_s))
            return seen
        return self._step_impl(action, timeout_s=timeout_s, **kwargs)

    async def step_async(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        """As `step`; the server takes this one."""
        if isinstance(action, (ListToolsAction, CallToolAction)):
            return await self._tool_step(action, timeout_s)
        seen: Any = self._step_impl(action, timeout_s=timeout_s, **kwargs)
        done: Observation = await seen if inspect.isawaitable(seen) else seen
        return done

    def close(self) -> None:
        """Let go of the server and the client."""
        self.mcp_client = None
        self.mcp_server = None

    # What the engine calls.

    async def connect(self) -> None:
        """Connect to the server until `disconnect`, so that calls need not; anew where the connection was lost.

        Called on the loop that steps run on.
        """
        if self._lost:
            await self._let_go()
        if not self._connected:
            self._loop = asyncio.get_running_loop()
            await self._session.enter_async_context(self.mcp_session())
            self._connected = True

    async def disconnect(self) -> None:
        """End what `connect` began."""
        self._connected = False
        await self._session.aclose()

    async def _let_go(self) -> None:
        """Give up a connection that has ended, and the client that had it."""
        try:
            await self.disconnect()
        except asyncio.CancelledError:
            raise
        except BaseException:  # what broke it may be raised here again, and is anybody's
            log.warning("the connection to the tools of %s had ended", type(self).__name__, exc_info=True)
        self._session, self.mcp_client, self._lost = AsyncExitStack(), _client_type()(self._require_mcp_server()), False

    def set_mode(self, mode: str) -> None:
        """The server's mode: its tools are served from now on."""
        self._mode = mode
        for tools in self._mode_tools.values():
            if mode in tools:
                self._require_mcp_server().tool(tools[mode])

    async def tool_listings(self) -> list[ToolListing]:
        """The tools that there are in this mode."""
        return [listing_of(found.model_dump(by_alias=True)) for found in await self._async_list_tools()]

    # Underneath.

    def _require_mcp_client(self) -> Any:
        if self.mcp_client is None:
            raise RuntimeError("MCP client is not available; environment is closed")
        return self.mcp_client

    def _require_mcp_server(self) -> Any:
        if self.mcp_server is None:
            raise RuntimeError("MCP server is not available; environment is closed")
        return self.mcp_server

    def _serve_mode(self) -> None:
        """Without a server around it, an environment is in the default mode."""
        if self._mode is None and self._mode_tools:
            self.set_mode("simulation")

    def _validate_tool_names(self, mcp_server: Any) -> None:
        _refuse_reserved(get_server_tools(mcp_server))

    async def _async_list_tools(self) -> list[Any]:
        self._serve_mode()
        async with self.mcp_session() as client:
            tools: list[Any] = await client.list_tools()
            return tools

    async def _async_call_tool(self, tool_name: str, arguments: dict[str, Any]) -> ToolResult:
        self._serve_mode()
        async with self.mcp_session() as client:
            return result_of(await client.call_tool(tool_name, arguments))

    async def _tool_step(self, action: ListToolsAction | CallToolAction, timeout_s: float | None) -> Observation:
        if isinstance(action, ListToolsAction):
            return await self._async_handle_list_tools()
        return await self._async_handle_call_tool(action, timeout_s)

    async def _async_handle_list_tools(self) -> ListToolsObservation:
        listings = await self.tool_listings()
        return ListToolsObservation(
            tools=[Tool(name=one.name, description=one.description, input_schema=one.input_schema) for one in listings]
        )

    async def _async_handle_call_tool(self, action: CallToolAction, timeout_s: float | None = None) -> CallToolObservation:
        limit = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
        name = action.tool_name
        try:
            result = await asyncio.wait_for(self._async_call_tool(name, action.arguments), limit)
        except TimeoutError:
            return _failed(name, ToolErrorType.TIMEOUT, f"Tool '{name}' timed out after {limit} seconds")
        except Exception as error:
            log.debug("tool %r failed", name, exc_info=True)
            self._lost = self._lost or str(error) == CONNECTION_CLOSED
            return _failed(name, _kind_of(str(error)), str(error))
        return CallToolObservation(tool_name=name, result=result)

    def _blocking(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for a coroutine on whatever thread this is: on the session's loop where there is one."""
        loop = self._loop
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if loop is None or not loop.is_running():
                return asyncio.run(work)
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        work.close()
        raise ExecutionFailed("step() would block the running event loop", hint="Await step_async() instead.")


def get_server_tools(mcp_server: Any) -> dict[str, Any]:
    """A FastMCP server's own tool objects by name."""
    found: Any = _run_aside(mcp_server.list_tools())
    return {one.name: one for one in found}


def _run_aside(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in a thread of its own: constructors are called on loops and off them."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="openenv-mcp-tools") as aside:
        return aside.submit(asyncio.run, work).result()


def _client_type() -> Any:
    try:
        from fastmcp import Client
    except ImportError:
        raise ImportError('MCPEnvironment needs fastmcp, which is an extra: pip install "openenv[mcp]"') from None
    return Client


def _refuse_reserved(names: Any) -> None:
    taken = sorted(RESERVED_TOOL_NAMES.intersection(names))
    if taken:
        raise ValueError(f"MCP tools cannot use reserved names: {taken}. Reserved names are: {sorted(RESERVED_TOOL_NAMES)}")


def _failed(name: str, kind: ToolErrorType, message: str) -> CallToolObservation:
    return CallToolObservation(tool_name=name, error=ToolError(error_type=kind, message=message))


def _kind_of(message: str) -> ToolErrorType:
    """FastMCP tells kinds of failure by words only."""
    text = message.lower()
    if "unknown tool" in text or "not found" in text:
        return ToolErrorType.TOOL_NOT_FOUND
    if "invalid" in text or "argument" in text:
        return ToolErrorType.INVALID_ARGS
    return ToolErrorType.EXECUTION_ERROR
