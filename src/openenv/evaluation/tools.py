"""An agent's hands: tool calls over its own socket, counted and timed, with the failures of the machinery told apart."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from time import perf_counter
from typing import Any, Protocol

from openenv.errors import OpenEnvError
from openenv.evaluation.agents import StepLimitReached, ToolRefused
from openenv.evaluation.results import json_safe
from openenv.evaluation.scoring import INFRASTRUCTURE_CODES

__all__ = ["CallsTools", "SessionTools"]


class CallsTools(Protocol):
    """What `SessionTools` needs of a client."""

    def call_tool(self, name: str, /, **arguments: Any) -> Coroutine[Any, Any, Any]:
        """Call a tool; raise what the client raises."""
        ...


class SessionTools:
    """The `ToolAccess` of one trial."""

    def __init__(self, client: CallsTools, max_steps: int) -> None:
        self._client = client
        self._max_steps = max_steps
        self.steps = 0
        self.seconds = 0.0
        """Time spent waiting for the environment."""
        self.exhausted = False
        """Whether the agent asked for more steps than there are."""
        self.fault: Exception | None = None
        """The failure of the machinery that ended the trial, kept even when the agent swallowed it."""
        self.tokens: dict[str, int] = {}
        self.malformed: list[dict[str, Any]] = []

    @property
    def steps_left(self) -> int:
        """How many calls the task still allows."""
        return max(0, self._max_steps - self.steps)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """As `ToolAccess.call`."""
        if self.fault is not None:
            raise self.fault
        if self.steps >= self._max_steps:
            raise self._limit()
        self.steps += 1
        started = perf_counter()
        try:
            return await self._client.call_tool(json_safe(str(tool)), **json_safe(dict(arguments)))
        except OpenEnvError as error:
            if error.code in INFRASTRUCTURE_CODES:
                self.fault = error
                raise
            if error.code == "EPISODE_OVER":
                raise self._limit() from None
            raise ToolRefused(error.message, code=error.code, known=error.body()) from None
        finally:
            self.seconds += perf_counter() - started

    def add_tokens(self, **counts: int) -> None:
        """As `ToolAccess.add_tokens`."""
        for kind, count in counts.items():
            self.tokens[kind] = self.tokens.get(kind, 0) + count

    def add_malformed(self, tool: str, text: str, message: str) -> None:
        """As `ToolAccess.add_malformed`."""
        self.malformed.append({"tool": tool, "arguments": text[:2000], "message": message})

    def _limit(self) -> StepLimitReached:
        self.exhausted = True
        return StepLimitReached(f"All {self._max_steps} steps of this task are used up", hint="Give your final answer.")
