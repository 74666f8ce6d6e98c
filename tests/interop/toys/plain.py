"""Environments without tools."""

from __future__ import annotations

import random
from typing import Any

from pydantic import BaseModel, Field

from openenv.core.env_server import Action, Environment, Observation, State, create_app, create_fastapi_app
from openenv.core.env_server.types import EnvironmentMetadata


class Say(Action):
    message: str = Field(min_length=1)
    kind: str = "echo"


class Heard(Observation):
    echoed: str
    n: int = 0


class LikeOne(BaseModel):
    """No observation of the framework's, but with all that travels."""

    text: str = "like one"
    done: bool = False
    reward: float | None = 1.0
    metadata: dict[str, Any] = {"a": 1}


class Echo(Environment):
    """Answers, and tells what it was called with."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.resets = 0
        self.steps = 0
        self.episode: Any = None

    def reset(self, seed: Any = None, episode_id: Any = None, **kwargs: Any) -> Heard:
        if kwargs.get("boom"):
            raise ValueError("reset boom")
        self.resets += 1
        self.steps = 0
        self.episode = episode_id or "auto"
        told = {"kw": sorted(kwargs), "seed": seed} if seed is not None or kwargs else {}
        n = random.Random(seed).randrange(1000) if isinstance(seed, int) else 0
        return Heard(echoed="ready", n=n, metadata=told)

    def step(self, action: Say, timeout_s: float | None = None, **kwargs: Any) -> Any:
        self.steps += 1
        told = {"k": self.steps, "timeout_s": timeout_s, "kw": kwargs}
        heard = Heard(echoed=action.message, n=self.steps, reward=0.5, metadata=told)
        match action.kind:
            case "boom":
                raise KeyError("env boom")
            case "done":
                heard.done = True
            case "true":
                heard.reward = True
            case "three":
                heard.reward = 3
            case "nan":
                heard.reward = float("nan")
            case "inf":
                heard.reward = float("-inf")
            case "none":
                heard.reward = None
            case "quiet":
                heard.metadata = {}
            case "nested":
                heard.metadata = {"deep": [{"nan": float("nan"), "text": "ü \u2028"}]}
            case "like":
                return LikeOne()
            case "dict":
                return {"echoed": "no model"}
        return heard

    @property
    def state(self) -> State:
        return State(episode_id=str(self.episode), step_count=self.steps, resets=self.resets)


class Fixed(Environment):
    """Takes no further arguments, and describes itself."""

    def reset(self) -> Heard:
        return Heard(echoed="fixed")

    def step(self, action: Say, request_id: str | None = None) -> Heard:
        return Heard(echoed=action.message, metadata={"request_id": request_id})

    @property
    def state(self) -> State:
        return State(step_count=3)

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(name="Fixed one", description="Never changes", version="2.1", author="somebody")


class EEnv(Environment):
    """Its constructor raises."""

    def __init__(self) -> None:
        raise RuntimeError("no environment today")

    def reset(self, **kwargs: Any) -> Heard:
        raise AssertionError

    def step(self, action: Say, **kwargs: Any) -> Heard:
        raise AssertionError

    @property
    def state(self) -> State:
        raise AssertionError


class Patient(Echo):
    """Asynchronous methods of its own."""

    async def reset_async(self, seed: Any = None, episode_id: Any = None, **kwargs: Any) -> Heard:
        heard = self.reset(seed=seed, episode_id=episode_id, **kwargs)
        heard.echoed = "ready, asynchronously"
        return heard

    async def step_async(self, action: Say, timeout_s: float | None = None, **kwargs: Any) -> Any:
        heard = self.step(action, timeout_s, **kwargs)
        if isinstance(heard, Heard):
            heard.echoed += ", asynchronously"
        return heard


echo = create_app(Echo, Say, Heard, env_name="echo", max_concurrent_envs=8)
small = create_app(Fixed, Say, Heard)
pair = create_app(Echo, Say, Heard, env_name="pair", max_concurrent_envs=2)
couple = create_app(Echo, Say, Heard, env_name="couple", max_concurrent_envs=2)
broken = create_app(EEnv, Say, Heard, env_name="broken")
patient = create_fastapi_app(Patient, Say, Heard, max_concurrent_envs=4, env_name="patient")
production = create_app(Echo, Say, Heard, env_name="production", max_concurrent_envs=4, mode="production")
