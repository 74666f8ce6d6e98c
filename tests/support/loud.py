"""Environments whose answers are as long as one asks for."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from openenv import Action, Context, Environment, Observation, State, ToolEnvironment, create_app, tool
from openenv.environment import Execution

LEASE_S = 3.0


class Ask(Action):
    text: str = ""
    size: int = Field(default=0, ge=0, le=2_000_000)


class Told(Observation):
    text: str
    padding: str = ""


class Loud(Environment[Ask, Told, State]):
    execution: ClassVar[Execution] = "inline"

    def reset(self) -> Told:
        return Told(text="")

    def step(self, action: Ask) -> Told:
        return Told(text=action.text, padding="x" * action.size)


class LoudOnThreads(Loud):
    execution: ClassVar[Execution] = "thread"


class LoudTools(ToolEnvironment[Action, Observation, State]):
    def reset(self) -> Observation:
        return Observation()

    @tool()
    def say(self, size: int) -> str:
        """Say much."""
        return "x" * size

    @tool()
    def go_on(self, times: int, size: int, context: Context) -> int:
        """Tell how far it is, again and again."""
        for number in range(times):
            context.progress(number, times, "x" * size)
        return times


_LEASES: dict[str, Any] = {"session_lease_s": LEASE_S, "resume_lease_s": LEASE_S}

inline_app = create_app(Loud, env_name="loud", **_LEASES)
thread_app = create_app(LoudOnThreads, env_name="loud", threads=4, **_LEASES)
tool_app = create_app(LoudTools, env_name="loud", threads=4, **_LEASES)
