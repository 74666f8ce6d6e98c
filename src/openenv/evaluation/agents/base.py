"""What an agent is: something that is given a task and tools, and says its last words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from openenv.errors import OpenEnvError
from openenv.scenario import Scenario, Suite
from openenv.types import Tool

__all__ = ["Agent", "AgentFactory", "EndpointFailed", "StepLimitReached", "Task", "ToolAccess", "ToolRefused"]


class ToolRefused(OpenEnvError):
    """A tool call that failed: ``body`` is the structured error (``code``, ``message``, ``field``, ``hint``, ``example``)."""

    code = "TOOL_REFUSED"

    def __init__(self, message: str, *, code: str, known: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.known = dict(known)

    def body(self) -> dict[str, Any]:
        """The error as the environment gave it."""
        return self.known


class StepLimitReached(OpenEnvError):
    """The task's steps are used up. An agent may catch it to say its last words; it need not."""

    code = "STEP_LIMIT"


class EndpointFailed(OpenEnvError):
    """What the agent stands on (a model's endpoint) failed: the trial tells nothing about the agent and is not scored."""

    code = "ENDPOINT_FAILED"


@dataclass(frozen=True, slots=True)
class Task:
    """What an agent is told. Verifiers and the solution are not part of it."""

    prompt: str
    tools: Sequence[Tool]
    max_steps: int
    seed: int
    """For the agent's own dice: differs between trials, is the same when the run is repeated."""


class ToolAccess(Protocol):
    """An agent's hands in one session."""

    @property
    def steps_left(self) -> int:
        """How many calls the task still allows."""
        ...

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool and return its value (JSON data).

        Raises `ToolRefused` when the tool said no, and `StepLimitReached` when the steps are used up. Whatever else it
        raises ends the trial and is nothing that an agent should catch.
        """
        ...

    def add_tokens(self, **counts: int) -> None:
        """Add to the trial's token counts, such as ``prompt`` and ``completion``."""
        ...

    def add_malformed(self, tool: str, text: str, message: str) -> None:
        """Record a call that the agent meant to make, but whose arguments were no JSON object: it never went out."""
        ...


class Agent(Protocol):
    """Acts on one task. A fresh one is made for every trial."""

    async def run(self, task: Task, env: ToolAccess) -> str | None:
        """Work on the task until done and return the last words: the answer, where the task asks for one."""
        ...


@runtime_checkable
class AgentFactory(Protocol):
    """Makes the agents of a run.

    Only agents that are told the answer on purpose (the oracle and its kin) look at the scenario; all others ignore it.
    """

    @property
    def name(self) -> str:
        """What the report calls the agent."""
        ...

    def for_scenario(self, scenario: Scenario, suite: Suite) -> Agent:
        """An agent for one trial of this scenario."""
        ...

    async def aclose(self) -> None:
        """Free what the agents share, such as an HTTP client. Called once, at the end of the run."""
        ...
