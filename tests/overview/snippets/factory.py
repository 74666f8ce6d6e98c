"""Type safety and the factory pattern: a validated action, and a world of its own for each session."""

# ruff: noqa: UP006, UP035 (the spelling of the overview is what its readers copy)

from __future__ import annotations

import itertools
from typing import Any, Dict

from pydantic import BaseModel, Field, validator

from openenv import Environment, State, create_app
from openenv import Observation as BaseObservation


class Action(BaseModel):
    command: str = Field(..., description="Command to execute")
    params: Dict[str, Any] = Field(default_factory=dict, description="Command parameters")

    @validator("command")
    def validate_command(cls, v: str) -> str:
        allowed = ["create", "update", "delete"]
        if v not in allowed:
            raise ValueError(f"Command must be one of {allowed}")
        return v


class Observation(BaseObservation):
    config: int
    commands: list[str]


_configs = itertools.count(1)


def load_config() -> Dict[str, int]:
    return {"number": next(_configs)}


class MyEnvironment(Environment[Any, Observation, State]):
    def __init__(self, config: Dict[str, int]) -> None:
        super().__init__()
        self.config = config
        self.commands: list[str] = []

    def reset(self, *, seed: int | None = None, episode_id: str | None = None) -> Observation:
        self.commands = []
        return Observation(config=self.config["number"], commands=[])

    def step(self, action: Action) -> Observation:
        self.commands.append(action.command)
        return Observation(config=self.config["number"], commands=list(self.commands), reward=1.0)

    @property
    def state(self) -> State:
        return State(step_count=len(self.commands))


def create_environment():  # type: ignore[no-untyped-def]
    return MyEnvironment(config=load_config())


app = create_app(
    create_environment,
    Action,
    Observation,
    env_name="my_env",
)
