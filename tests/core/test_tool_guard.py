"""Tools of a FastMCP server that raise what is no ``Exception``: their own call fails, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastmcp import FastMCP

from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation, ToolErrorType
from openenv.core.env_server.types import Action, Observation, State

RAISED = {"cancel": asyncio.CancelledError, "exit": SystemExit, "interrupt": KeyboardInterrupt, "leave": GeneratorExit}


def wild() -> FastMCP:
    """A server with tools that raise, and one that does not."""
    server: FastMCP = FastMCP("wild")

    @server.tool
    async def raise_awaited(name: str) -> str:
        raise RAISED[name](3)

    @server.tool
    def raise_blocking(name: str) -> str:
        raise RAISED[name](3)

    @server.tool
    async def wait() -> str:
        await asyncio.Event().wait()
        return "never"

    @server.tool
    def fine() -> str:
        return "fine"

    return server


class Wild(MCPEnvironment):
    """Nothing but the tools."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        return Observation()

    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State()


async def call(environment: Wild, tool: str, timeout_s: float = 10.0, **arguments: Any) -> CallToolObservation:
    """As the engine does it."""
    await environment.connect()
    seen = await environment.step_async(CallToolAction(tool_name=tool, arguments=arguments), timeout_s=timeout_s)
    assert isinstance(seen, CallToolObservation)
    return seen


@pytest.mark.parametrize("tool", ["raise_awaited", "raise_blocking"])
@pytest.mark.parametrize("name", sorted(RAISED))
async def test_whatever_a_tool_raises_is_its_own_error(tool: str, name: str) -> None:
    environment = Wild(wild())
    failed = await call(environment, tool, name=name)
    assert failed.error is not None
    assert failed.error.error_type is ToolErrorType.EXECUTION_ERROR
    assert (await call(environment, "fine")).result.data == "fine"
    await environment.disconnect()


async def test_a_lost_connection_is_made_anew() -> None:
    environment = Wild(wild())
    await call(environment, "fine")
    environment.mcp_server.middleware.clear()
    assert (await call(environment, "raise_awaited", name="cancel")).error is not None
    assert (await call(environment, "fine")).result.data == "fine"
    await environment.disconnect()


async def test_a_call_that_takes_too_long_is_still_taken_back() -> None:
    environment = Wild(wild())
    late = await call(environment, "wait", timeout_s=0.1)
    assert late.error is not None
    assert late.error.error_type is ToolErrorType.TIMEOUT
    assert (await call(environment, "fine")).result.data == "fine"
    await environment.disconnect()


async def test_a_server_that_several_share_is_guarded_once() -> None:
    server = wild()
    before = len(server.middleware)
    Wild(server)
    Wild(server)
    assert len(server.middleware) == before + 1
