"""Between an environment and an agent with a loop of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness.config import HarnessConfig
from openenv.core.harness.events import HarnessEvent, HarnessEventType, HarnessResponse

__all__ = [
    "AgenticHarnessAdapter",
    "HarnessError",
    "HarnessNotRunningError",
    "HarnessStartupError",
    "HarnessTurnTimeoutError",
    "response_of",
]


class HarnessError(Exception):
    """An agent, or what belongs to it, failed."""


class HarnessStartupError(HarnessError):
    """The agent did not start, or was not ready in time."""


class HarnessNotRunningError(HarnessError):
    """There is no agent running that could do this."""


class HarnessTurnTimeoutError(HarnessError):
    """A turn took longer than it may."""


class AgenticHarnessAdapter(ABC):
    """Starts one agent and talks to it, turn by turn. Write one per kind of agent; make one per environment.

    Args:
        config: How the agent is started.
    """

    BUILTIN_TOOL_NAMES: ClassVar[frozenset[str]] = frozenset()
    """The agent's own tools: an environment's tool of the same name gets another one."""

    def __init__(self, config: HarnessConfig) -> None:
        self.config = config

    @abstractmethod
    async def inject_tools(self, tools: list[Tool], bridge_url: str | None = None) -> None:
        """Tell the agent, before it starts, of the environment's tools, and at which URL an MCP server has them."""

    @abstractmethod
    async def start(self, working_directory: str) -> None:
        """Start the agent. Raises `HarnessStartupError` if it does not come up."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop the agent. Stopping one that does not run does nothing."""

    @abstractmethod
    async def is_alive(self) -> bool:
        """Whether the agent runs."""

    @abstractmethod
    def send_message_streaming(self, message: str) -> AsyncIterator[HarnessEvent]:
        """Say something, and tell what the agent does until its turn ends: the last event is ``TURN_COMPLETE``."""

    async def send_message(self, message: str) -> HarnessResponse:
        """Say something, and wait for the turn to end.

        Raises:
            HarnessError: The events ended without ``TURN_COMPLETE``.
        """
        return response_of([event async for event in self.send_message_streaming(message)])


def response_of(events: Sequence[HarnessEvent]) -> HarnessResponse:
    """A turn's events as its response.

    Raises:
        HarnessError: The last one is not ``TURN_COMPLETE``.
    """
    if not events or events[-1].type is not HarnessEventType.TURN_COMPLETE:
        raise HarnessError("harness event stream ended without a TURN_COMPLETE event")
    told = events[-1].data
    said = told.get("response")
    return HarnessResponse(response="" if said is None else str(said), events=list(events), done=bool(told.get("done")))
