"""What is measured on ours: ``benchmarks.servers.ours:NAME``, and each environment without middleware as ``bare_NAME``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI

from echo_env.environment import EchoEnvironment
from echo_env.models import EchoAction, EchoObservation
from openenv import AsyncEnvironment, Environment, Observation, State, ToolEnvironment, create_app, tool
from openenv.arrays import Array, ndarray
from openenv.types import Binary

__all__ = ["ENVIRONMENTS"]

SLEEP_S = 0.005


class OnThreads(Environment[EchoAction, EchoObservation, State]):
    """The echo on the thread pool."""

    execution = "thread"

    def reset(self, *, seed: int | None = None) -> EchoObservation:
        """Begin with silence."""
        return EchoObservation(echoed="", length=0)

    def step(self, action: EchoAction) -> EchoObservation:
        """Say it back."""
        return EchoObservation(echoed=action.message, length=len(action.message), reward=1.0)


class Asynchronous(AsyncEnvironment[EchoAction, EchoObservation, State]):
    """The echo in coroutines."""

    async def reset(self, *, seed: int | None = None) -> EchoObservation:
        """Begin with silence."""
        return EchoObservation(echoed="", length=0)

    async def step(self, action: EchoAction) -> EchoObservation:
        """Say it back."""
        return EchoObservation(echoed=action.message, length=len(action.message), reward=1.0)


class Blocking(OnThreads):
    """The echo, 5 ms later, with its thread blocked meanwhile."""

    def step(self, action: EchoAction) -> EchoObservation:
        """Sleep, then say it back."""
        time.sleep(SLEEP_S)
        return super().step(action)


class Silence(Observation):
    """Nothing yet."""


class Tools(ToolEnvironment[Any, Any, State]):
    """The echo as a tool."""

    execution = "inline"

    def reset(self, *, seed: int | None = None) -> Silence:
        """Begin with silence."""
        return Silence()

    @tool(read_only=True)
    def echo(self, message: str) -> str:
        """Say it back."""
        return message


class Seen(Observation):
    """What the echo says, with something to look at."""

    echoed: str
    image: Binary


class Felt(Observation):
    """What the echo says, with many numbers."""

    echoed: str
    values: list[float]


class Packed(Observation):
    """The same numbers in an array."""

    echoed: str
    values: Annotated[ndarray, Array("float64", (1000,))]


_IMAGE = bytes(range(256)) * (84 * 84 * 3 // 256) + bytes(84 * 84 * 3 % 256)
_VALUES = [place / 7 for place in range(1000)]
_ARRAY = np.array(_VALUES)


class Images(Environment[EchoAction, Seen, State]):
    """The echo with an image of 84 × 84 pixels of three bytes."""

    execution = "inline"

    def reset(self, *, seed: int | None = None) -> Seen:
        """Begin with silence."""
        return Seen(echoed="", image=_IMAGE)

    def step(self, action: EchoAction) -> Seen:
        """Say it back."""
        return Seen(echoed=action.message, image=_IMAGE)


class Floats(Environment[EchoAction, Felt, State]):
    """The echo with a thousand floats."""

    execution = "inline"

    def reset(self, *, seed: int | None = None) -> Felt:
        """Begin with silence."""
        return Felt(echoed="", values=_VALUES)

    def step(self, action: EchoAction) -> Felt:
        """Say it back."""
        return Felt(echoed=action.message, values=_VALUES)


class Arrays(Environment[EchoAction, Packed, State]):
    """The echo with an array of a thousand floats."""

    execution = "inline"

    def reset(self, *, seed: int | None = None) -> Packed:
        """Begin with silence."""
        return Packed(echoed="", values=_ARRAY)

    def step(self, action: EchoAction) -> Packed:
        """Say it back."""
        return Packed(echoed=action.message, values=_ARRAY)


ENVIRONMENTS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "echo": (EchoEnvironment, {}),
    "threads": (OnThreads, {}),
    "async": (Asynchronous, {}),
    "blocking": (Blocking, {}),
    "tools": (Tools, {}),
    "images": (Images, {}),
    "floats": (Floats, {}),
    "arrays": (Arrays, {}),
}
"""By name, with what `create_app` is told beside."""


def __getattr__(name: str) -> FastAPI:
    """Make the application that was asked for, and no other."""
    short = name.removeprefix("bare_")
    if short not in ENVIRONMENTS:
        raise AttributeError(f"{__name__} has no {name}")
    environment, options = ENVIRONMENTS[short]
    if name != short:
        options = {**options, "log": False, "metrics": False}
    return create_app(environment, env_name=f"echo-{short.replace('_', '-')}", **options)
