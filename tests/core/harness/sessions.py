"""Toy sessions, models and clients for the tests of rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openenv.core.client_types import StepResult
from openenv.core.env_server.mcp_types import Tool
from openenv.core.env_server.types import State
from openenv.core.harness import (
    ModelStep,
    ModelStepResult,
    ResourceSession,
    ResourceSessionFactory,
    StepEnvSessionAdapter,
    ToolResult,
    VerifyResult,
)
from openenv.core.llm_client import LLMResponse, ToolCall

GUESS = Tool(name="guess", description="Guess a number", input_schema={"type": "object"})


class Guessing(ResourceSession):
    """A session whose tool is done at its last reward."""

    def __init__(self, task: Any = None, *, rewards: Sequence[float | None] = (0.0, 1.0), verified: float | None = None) -> None:
        self.task = task
        self.rewards = rewards
        self.verified = verified
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.final: Any = None
        self.closed = 0

    def initial_messages(self) -> list[dict[str, Any]]:
        return [{"role": "user", "content": str(self.task)}]

    def list_tools(self) -> list[Tool]:
        return [GUESS]

    def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        if name != GUESS.name:
            raise KeyError(f"Unknown tool: {name}")
        self.calls.append((name, arguments))
        reward = self.rewards[len(self.calls) - 1]
        return ToolResult(data={"reward": reward}, done=len(self.calls) == len(self.rewards), metadata={"reward": reward})

    def verify(self, transcript: list[dict[str, Any]], final_state: Any | None = None) -> VerifyResult:
        self.final = final_state
        return VerifyResult(env_reward=self.verified, done=True, metrics={"messages": len(transcript)})

    def close(self) -> None:
        self.closed += 1


class Guesses(ResourceSessionFactory[Guessing]):
    """Makes them; remembers them."""

    def __init__(self, **how: Any) -> None:
        self.how = how
        self.made: list[Guessing] = []
        self.ids: list[str | None] = []

    def create(self, task: Any, seed: int | None = None, episode_id: str | None = None) -> Guessing:
        self.made.append(Guessing(task, **self.how))
        self.ids.append(episode_id)
        return self.made[-1]


def says(*turns: Sequence[tuple[str, dict[str, Any]]]) -> ModelStep:
    """A model that makes these calls, turn by turn, and the last turn's again and again."""
    left = list(turns)

    def step(messages: list[dict[str, Any]], tools: list[Tool], sampling: dict[str, Any]) -> ModelStepResult:
        turn = left.pop(0) if len(left) > 1 else left[0]
        calls = [ToolCall(id=f"c{number}", name=name, args=args) for number, (name, args) in enumerate(turn)]
        return ModelStepResult(LLMResponse("hm", calls), prompt_ids=[1], completion_ids=[2, 3], logprobs=[-0.5, -0.25])

    return step


class Counter:
    """A client of an environment that counts, without a server."""

    def __init__(self) -> None:
        self.steps = 0
        self.resets: list[dict[str, Any]] = []
        self.closed = 0

    def reset(self, **options: Any) -> StepResult[Any]:
        self.resets.append(options)
        return StepResult(observation={"n": 0}, reward=None, done=False)

    def step(self, action: Any) -> StepResult[Any]:
        self.steps += action
        return StepResult(observation={"n": self.steps}, reward=float(self.steps), done=self.steps > 2)

    def state(self) -> State:
        return State(episode_id="e", step_count=self.steps)

    def close(self) -> None:
        self.closed += 1


def counting(client: Any, **more: Any) -> StepEnvSessionAdapter:
    """A counter as a session with one tool, ``add``."""
    return StepEnvSessionAdapter(
        client,
        tool_specs=[Tool(name="add", description="Add", input_schema={"type": "object"})],
        action_builder=lambda name, arguments: arguments["by"],
        initial_messages_builder=lambda result, task: [{"role": "user", "content": f"{task}: {result.observation}"}],
        **more,
    )
