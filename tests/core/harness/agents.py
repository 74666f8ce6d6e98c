"""Adapters and tools for the tests of agents."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from fastmcp import FastMCP

from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness import (
    AgenticHarnessAdapter,
    HarnessConfig,
    HarnessError,
    HarnessEvent,
    HarnessProcess,
)

__all__ = ["Played", "ProcessAgent", "event", "toolbox"]


def event(kind: str, **data: Any) -> HarnessEvent:
    """An event without data types of its own."""
    return HarnessEvent.model_validate({"type": kind, "data": data})


def toolbox() -> FastMCP:
    """A FastMCP server with two tools."""
    server: FastMCP = FastMCP("toolbox")

    @server.tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool
    def read_file(path: str) -> str:
        """Pretend to read."""
        return f"read {path}"

    return server


class Played(AgenticHarnessAdapter):
    """Plays turns that were written before: events, exceptions to raise, and ``"wait"``, which waits for ever."""

    BUILTIN_TOOL_NAMES = frozenset({"read_file"})

    def __init__(self, *turns: Sequence[Any], timeout_s: float = 30.0) -> None:
        super().__init__(HarnessConfig(name="toy", command=["toy"], session_timeout_s=timeout_s))
        self.turns = list(turns) or [[event("turn_complete", response="hello")]]
        self.log: list[Any] = []
        self.tools: list[Tool] = []
        self.url: str | None = None
        self.alive = False
        self.waiting = asyncio.Event()
        self.fails: dict[str, BaseException] = {}

    async def inject_tools(self, tools: list[Tool], bridge_url: str | None = None) -> None:
        self.tools, self.url = tools, bridge_url

    async def start(self, working_directory: str) -> None:
        self.log.append("start")
        self._fail("start")
        self.alive = True

    async def stop(self) -> None:
        self.log.append("stop")
        await asyncio.sleep(0)
        self.alive = False
        self._fail("stop")

    async def is_alive(self) -> bool:
        return self.alive

    async def send_message_streaming(self, message: str) -> AsyncIterator[HarnessEvent]:
        self.log.append(message)
        for one in self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]:
            if isinstance(one, BaseException):
                raise one
            if one == "wait":
                self.waiting.set()
                await asyncio.Event().wait()
            else:
                yield one

    def _fail(self, where: str) -> None:
        if where in self.fails:
            raise self.fails[where]


class ProcessAgent(AgenticHarnessAdapter):
    """The toy agent of agent.py."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("agent.py"))]
        super().__init__(HarnessConfig(name="toy", command=command, working_directory="/"))
        self._url = ""
        self._process = self._made()

    async def inject_tools(self, tools: list[Tool], bridge_url: str | None = None) -> None:
        self._url = bridge_url or ""

    async def start(self, working_directory: str) -> None:
        self._process = self._made()
        await self._process.start(lambda line: line == "ready")

    async def stop(self) -> None:
        await self._process.stop()

    async def is_alive(self) -> bool:
        return self._process.is_running()

    async def send_message_streaming(self, message: str) -> AsyncIterator[HarnessEvent]:
        await self._process.write_line(message)
        while True:
            line = await self._process.read_line()
            if line is None:
                raise HarnessError("the agent ended in the middle of a turn")
            told = HarnessEvent.model_validate(json.loads(line))
            yield told
            if told.type.value == "turn_complete":
                return

    def _made(self) -> HarnessProcess:
        return HarnessProcess(self.config.command, "/", {"TOOLS_URL": self._url}, self.config.startup_timeout_s)
