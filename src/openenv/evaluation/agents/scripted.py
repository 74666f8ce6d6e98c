"""Agents that mark the ends of the scale: one that knows the answer and one that does nothing."""

from __future__ import annotations

from collections.abc import Sequence

from openenv.evaluation.agents.base import Agent, Task, ToolAccess, ToolRefused
from openenv.scenario import Scenario, Suite, ToolCall

__all__ = ["NoOp", "NoOpFactory", "Oracle", "OracleFactory"]


class Oracle:
    """Plays a scenario's solution and gives its answer; what the verifiers of a sound scenario must accept."""

    def __init__(self, solution: Sequence[ToolCall], response: str | None) -> None:
        self._solution = solution
        self._response = response

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Make the solution's calls, one after the other, whatever comes of them."""
        for call in self._solution:
            try:
                await env.call(call.tool, call.arguments)
            except ToolRefused:
                continue
        return self._response


class NoOp:
    """Does nothing and says nothing; what the verifiers of a sound scenario must refuse."""

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Return at once."""
        return None


class OracleFactory:
    """Makes an `Oracle` for each scenario."""

    name = "oracle"

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        """The oracle of this scenario."""
        return Oracle(scenario.solution, scenario.response)

    async def aclose(self) -> None:
        """Nothing is shared."""


class NoOpFactory:
    """Makes `NoOp` agents."""

    name = "noop"

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        """A no-op."""
        return NoOp()

    async def aclose(self) -> None:
        """Nothing is shared."""
