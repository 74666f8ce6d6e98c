"""An agent that rolls dice: the floor that luck alone reaches, and a gentle fuzzer of an environment's tools."""

from __future__ import annotations

from random import Random

from openenv.evaluation.agents.base import Agent, Task, ToolAccess, ToolRefused
from openenv.evaluation.agents.sampling import sample
from openenv.scenario import Scenario, Suite

__all__ = ["RandomAgent", "RandomFactory"]

MOST_CALLS = 12


class RandomAgent:
    """Calls random tools with random arguments that fit their schemas; the task's seed decides them all."""

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Make between one call and as many as the task allows, at most twelve."""
        if not task.tools:
            return None
        dice = Random(task.seed)
        for _ in range(dice.randint(1, max(1, min(task.max_steps, MOST_CALLS)))):
            tool = dice.choice(task.tools)
            arguments = sample(tool.input_schema, dice)
            try:
                await env.call(tool.name, arguments if isinstance(arguments, dict) else {})
            except ToolRefused:
                continue
        return None


class RandomFactory:
    """Makes `RandomAgent`s."""

    name = "random"

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        """A random agent; the scenario is not looked at."""
        return RandomAgent()

    async def aclose(self) -> None:
        """Nothing is shared."""
