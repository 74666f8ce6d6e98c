"""An environment whose steps take as long as a test wants, and which says things of its own accord; and its applications."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from openenv import Action, AsyncEnvironment, Environment, Observation, State, create_app
from openenv.middleware import BearerAuth


class Say(Action):
    text: str
    seconds: float = Field(default=0.0, ge=0)
    gate: str | None = None
    """A file: the step makes ``<gate>.waits``, and waits until the gate is there too."""
    end: str | None = None
    """Ends the episode: ``terminated`` or ``truncated``."""


class Heard(Observation):
    text: str
    count: int


class TalkState(State):
    said: list[str] = []


def waits(gate: str | None) -> bool:
    """Whether a gate is still shut."""
    if gate is None or Path(gate).exists():
        return False
    Path(f"{gate}.waits").touch()
    return True


class Talk(AsyncEnvironment[Say, Heard, TalkState]):
    """Counts what it hears, takes its time, and says how loud it was; "boom" raises."""

    snapshot_version = 1

    def __init__(self) -> None:
        self.said: list[str] = []

    async def reset(self, *, seed: int | None = None, greeting: str = "ready") -> Heard:
        self.said = []
        return Heard(text=greeting, count=0, metadata={"seed": seed})

    async def step(self, action: Say) -> Heard:
        if action.seconds:
            await asyncio.sleep(action.seconds)
        while waits(action.gate):  # noqa: ASYNC110 - a test opens it
            await asyncio.sleep(0.005)
        if action.text == "boom":
            raise ValueError("the talk broke")
        self.said.append(action.text)
        if action.text.isupper():
            self.emit({"loud": action.text})
        return Heard(
            text=action.text,
            count=len(self.said),
            reward=float(len(action.text)),
            terminated=action.end == "terminated",
            truncated=action.end == "truncated",
            stop_reason=action.end and f"because it was {action.end}",
        )

    @property
    def state(self) -> TalkState:
        return TalkState(episode_id=self.episode_id, step_count=self.step_count, said=self.said)

    def snapshot(self) -> bytes:
        return "\n".join(self.said).encode()

    def restore(self, image: bytes) -> None:
        self.said = image.decode().split("\n") if image else []

    def reseed(self, seed: int) -> None:
        """There is no chance in it."""


class Plain(Environment[Say, Heard, State]):
    """Without snapshots, on the event loop."""

    execution = "inline"

    def reset(self) -> Heard:
        return Heard(text="ready", count=0)

    def step(self, action: Say) -> Heard:
        return Heard(text=action.text, count=self.step_count)


class Slow(Environment[Say, Heard, State]):
    """On a thread, where nothing can be stopped."""

    def reset(self) -> Heard:
        return Heard(text="ready", count=0)

    def step(self, action: Say) -> Heard:
        time.sleep(action.seconds)
        while waits(action.gate):
            time.sleep(0.005)
        return Heard(text=action.text, count=self.step_count, reward=1.0)


TOKENS: dict[str, dict[str, Any]] = {
    "token-of-anna-0001": {"id": "anna", "scopes": ["create", "reset", "act"]},
    "token-of-carl-0001": {"id": "carl", "scopes": ["create", "reset", "act", "watch"]},
}
SECRET = "a secret of more than thirty-two bytes, and of more than sixty-four"

app = create_app(Talk, env_name="talk", max_sessions=600)
small_app = create_app(Talk, env_name="talk", max_sessions=4, resume_lease_s=1.0)
tight_app = create_app(Talk, env_name="talk", max_sessions=10, log=False)
slow_app = create_app(Slow, env_name="slow")
plain_app = create_app(Plain, env_name="plain")
guarded_app = create_app(Talk, env_name="talk", middleware=[BearerAuth(TOKENS, secret=SECRET)])
