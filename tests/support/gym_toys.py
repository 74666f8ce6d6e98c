"""A walk on a line whose steps need no agent to end: arrays, choices and numbers for Gymnasium's spaces."""

from __future__ import annotations

import enum
import random
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from openenv import Action, EnvClient, Environment, Observation, State, create_app
from openenv.arrays import Array
from openenv.environment import Execution


class Weather(enum.Enum):
    """What blows."""

    CALM = "calm"
    STORM = "storm"


class Walk(Action):
    """Where to go, and how fast."""

    way: Literal["left", "right", "stay"]
    force: Annotated[float, Field(ge=0, le=1)] = 1.0


class Place(Observation):
    """Where one is."""

    position: Annotated[npt.NDArray[np.float32], Array("float32", (2,))]
    level: Annotated[int, Field(ge=-3, le=3)] = 0
    lit: bool = False
    weather: Weather = Weather.CALM
    note: str = ""


class Line(Environment[Walk, Place, State]):
    """Three steps from the middle are the end, and so are twelve steps in all."""

    execution: ClassVar[Execution] = "inline"

    def __init__(self) -> None:
        self.chance = random.Random()
        self.level = self.steps = 0
        self.mixed = False

    def reset(self, *, seed: int | None = None, level: int = 0, mixed: bool = False) -> Place:
        if seed is not None:
            self.chance.seed(seed)
        self.level, self.steps, self.mixed = level, 0, mixed
        return self.place(0.5)  # which Gymnasium has no place for

    def step(self, action: Walk) -> Place:
        if action.force < 0.01:
            raise ValueError("too weak to go on")
        self.steps += 1
        wind = self.chance.choice((-1, 0, 0, 1))
        self.level = max(-3, min(3, self.level + {"left": -1, "right": 1, "stay": 0}[action.way] + wind))
        return self.place(action.force * self.level)

    def place(self, reward: float) -> Place:
        ended = abs(self.level) == 3
        told = f"step {self.steps}" if self.mixed and self.chance.random() < 0.5 else self.steps
        return Place(
            position=np.array([self.level / 3, self.chance.random()], np.float32),
            level=self.level,
            lit=self.level > 0,
            weather=self.chance.choice(list(Weather)),
            note="here",
            reward=reward,
            terminated=ended,
            truncated=self.steps == 12 and not ended,
            stop_reason="the end of the line" if ended else None,
            metadata={"told": told, "at": {"step": self.steps}},
        )


class Seedless(Environment[Walk, Place, State]):
    """Takes no seed, and tells no reward."""

    execution: ClassVar[Execution] = "inline"

    def reset(self) -> Place:
        return Place(position=np.zeros(2, np.float32))

    def step(self, action: Walk) -> Place:
        return Place(position=np.ones(2, np.float32))


class LineEnv(EnvClient[Walk, Place, State]):
    """A client that knows the types."""

    observation_type = Place


app = create_app(Line, env_name="line")
seedless_app = create_app(Seedless, env_name="seedless")
