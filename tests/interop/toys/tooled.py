"""Environments with tools: a FastMCP server's, and tools by steps alone."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP

from openenv.core.env_server import (
    Action,
    CallToolAction,
    CallToolObservation,
    Environment,
    ListToolsAction,
    ListToolsObservation,
    MCPEnvironment,
    Observation,
    State,
    Tool,
    create_app,
)
from openenv.core.env_server.mcp_types import ToolError


class Calculator(MCPEnvironment):
    """A few tools of a FastMCP server."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        server: Any = FastMCP("calculator")
        self.total = 0
        self.steps = 0

        @server.tool
        def add(a: int, b: int) -> int:
            """Add two ints"""
            return a + b

        @server.tool
        def keep(a: int = 1) -> dict[str, int]:
            """Add to the total"""
            self.total += a
            return {"total": self.total}

        @server.tool
        def nothing() -> None:
            """Return nothing"""

        @server.tool
        def several() -> list[int]:
            """Return a list"""
            return [1, 2]

        @server.tool
        def fail() -> None:
            """Raise"""
            raise ValueError("tool boom")

        super().__init__(server)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        self.total = self.steps = 0
        return Observation(metadata={"status": "ready"})

    async def step_async(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        self.steps += 1
        return await super().step_async(action, timeout_s=timeout_s, **kwargs)

    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return Observation(metadata={"impl": type(action).__name__}, reward=0.25)

    @property
    def state(self) -> State:
        return State(episode_id="calc", step_count=self.steps, total=self.total)


class StepTools(Environment):
    """Tools without any MCP server: list and call are plain actions."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def reset(self, **kwargs: Any) -> Observation:
        self.steps = 0
        return Observation()

    def step(self, action: Action, **kwargs: Any) -> Observation:
        self.steps += 1
        if isinstance(action, ListToolsAction):
            return ListToolsObservation(tools=[Tool(name="a", description="does a", input_schema={"type": "object"})])
        assert isinstance(action, CallToolAction)
        if action.tool_name != "a":
            return CallToolObservation(
                tool_name=action.tool_name, error=ToolError(error_type="tool_not_found", message="no such tool")
            )
        return CallToolObservation(tool_name="a", result={"given": action.arguments}, reward=1.0, done=True)

    @property
    def state(self) -> State:
        return State(step_count=self.steps)


calculator = create_app(Calculator, Action, Observation, env_name="calculator", max_concurrent_envs=8)
called = create_app(Calculator, CallToolAction, CallToolObservation, env_name="called", max_concurrent_envs=4)
steptools = create_app(StepTools, CallToolAction, CallToolObservation, env_name="steptools", max_concurrent_envs=4)
