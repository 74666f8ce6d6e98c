"""Toy sessions and toy models, and how their results are told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness import (
    ModelStepResult,
    ResourceSession,
    ResourceSessionFactory,
    ToolResult,
    VerifyResult,
)

Script = Sequence[tuple[str | None, Sequence[tuple[str, dict[str, Any]]]]]
"""Turns: what the model says, and the tools that it calls."""

TOOL = Tool(name="guess", description="Guess a number", input_schema={"type": "object"})


class Cases(dict[str, Callable[[], Any]]):
    """Functions by name, each of which makes a part of the document."""

    def add(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Add a function; for its decorator."""
        self[function.__name__] = function
        return function


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns, or the type of what it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - whatever is raised is what is compared
        return {"raises": type(error).__name__}


@dataclasses.dataclass
class Answer:
    """What a model says, as an LLM client tells it."""

    content: str | None
    tool_calls: list[Any]

    def to_message_dict(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": json.dumps(one.args)}}
                for one in self.tool_calls
            ]
        return message


class Session(ResourceSession):
    """Counts its calls and is done at the third; remembers what it was asked."""

    def __init__(self, task: Any = None, seed: int | None = None, episode_id: str | None = None, **how: Any) -> None:
        self.how = how
        self.calls = 0
        self.seen: list[Any] = [["create", task, seed, episode_id]]

    def initial_messages(self) -> list[dict[str, Any]]:
        self.seen.append("initial_messages")
        return [{"role": "user", "content": "go"}]

    def list_tools(self) -> list[Tool]:
        self.seen.append("list_tools")
        if "list_raises" in self.how:
            raise self.how["list_raises"]
        return [TOOL]

    def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        self.seen.append(["call_tool", name, dict(arguments)])
        self.calls += 1
        if "raises" in self.how:
            raise self.how["raises"]
        arguments["spoilt"] = True
        rewards = self.how.get("rewards", [0.5] * self.how.get("ends_after", 3))
        reward = rewards[self.calls - 1]
        return ToolResult(
            data=self.how.get("data", {"n": self.calls}),
            done=self.calls >= len(rewards),
            metadata={} if reward == "absent" else {"reward": reward},
            error=self.how.get("error"),
        )

    def verify(self, transcript: list[dict[str, Any]], final_state: Any | None = None) -> VerifyResult:
        self.seen.append(["verify", len(transcript), final_state])
        return VerifyResult(env_reward=self.how.get("verified", 0.5), done=True, metrics={"m": 1}, artifacts={"a": 2})

    def close(self) -> None:
        self.seen.append("close")


class Factory(ResourceSessionFactory[Session]):
    """Makes toy sessions; the numbers in ``broken`` cannot be made."""

    def __init__(self, *, broken: Sequence[int] = (), each: Sequence[dict[str, Any]] = (), **how: Any) -> None:
        self.broken, self.each, self.how = broken, each, how
        self.asked: list[Any] = []
        self.made: list[Session] = []

    def create(self, task: Any, seed: int | None = None, episode_id: str | None = None) -> Session:
        number = len(self.asked)
        self.asked.append([task, seed, episode_id])
        if number in self.broken:
            raise RuntimeError("no world left")
        how = self.each[number % len(self.each)] if self.each else self.how
        self.made.append(Session(task, seed, episode_id, **how))
        return self.made[-1]


def model(script: Script, heard: list[Any] | None = None) -> Callable[..., ModelStepResult]:
    """A model that says its script, the last turn again and again."""
    turns = iter(script)
    last: list[Any] = []

    def step(messages: Any, tools: Any, sampling: Any) -> ModelStepResult:
        if heard is not None:
            heard.append([len(messages), [one.name for one in tools], dict(sampling)])
        sampling["spoilt"] = True
        turn = next(turns, None)
        last[:] = last if turn is None else [turn]
        content, calls = last[0]
        response: Any = Answer(
            content, [SimpleNamespace(id=f"c{i}", name=name, args=args) for i, (name, args) in enumerate(calls)]
        )
        return ModelStepResult(response=response, prompt_ids=[1, 2], completion_ids=[3], logprobs=[-0.5])

    return step


GUESS = ("guess", {"x": 1})
SCRIPTS: dict[str, Script] = {
    "until done": [("hi", [GUESS])],
    "says goodbye": [("hi", [GUESS]), ("bye", [])],
    "says nothing": [(None, [])],
    "four at once": [("hi", [GUESS] * 4), ("bye", [])],
    "two each turn": [("hi", [GUESS] * 2)],
    "unknown and reserved": [("", [("nope", {})]), ("", [("reset", {"b": 2, "a": 1})]), ("bye", [])],
}
LIMITS: dict[str, dict[str, Any]] = {
    "none": {},
    "one turn": {"max_turns": 1},
    "no turn": {"max_turns": 0},
    "negative turns": {"max_turns": -1},
    "two a turn": {"max_tool_calls_per_turn": 2},
    "none a turn": {"max_tool_calls_per_turn": 0},
    "one in all": {"max_total_tool_calls": 1},
    "none in all": {"max_total_tool_calls": 0},
    "two in all": {"max_total_tool_calls": 2},
    "both": {"max_total_tool_calls": 2, "max_tool_calls_per_turn": 1, "sampling": {"temperature": 0.5}},
}


def shown(result: Any) -> Any:
    """A data class as plain data."""
    return dataclasses.asdict(result)


async def told(work: Awaitable[Any], show: Callable[[Any], Any] = lambda result: result) -> Any:
    """What a call returns, or the type of what it raises."""
    try:
        result = await work
    except Exception as error:  # noqa: BLE001 - whatever is raised is what is compared
        return {"raises": type(error).__name__}
    return show(result)
