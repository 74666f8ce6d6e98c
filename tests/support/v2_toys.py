"""Environments that take their time, say things and change their tools, for protocol v2, and applications that serve them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from openenv import (
    Action,
    AsyncEnvironment,
    Context,
    Observation,
    State,
    ToolEnvironment,
    ToolListing,
    create_app,
    tool,
)
from openenv.errors import ToolFailed, ValidationFailed
from openenv.middleware import BearerAuth, RateLimit

__all__ = ["AsyncWorkshop", "Workshop"]


class Counted(State):
    count: int = 0


class Workshop(ToolEnvironment[Action, Observation, Counted]):
    """Counts what is done in it, on a thread; a hammer has to be found before it can be used."""

    snapshot_version: ClassVar[int] = 1

    def __init__(self) -> None:
        self.count, self.found, self.chance = 0, False, 0

    def reset(self, *, seed: int = 0, gate: str | None = None) -> Observation:
        while gate is not None and not Path(gate).exists():
            time.sleep(0.005)
        self.count, self.found, self.chance = 0, False, seed
        return Observation()

    @property
    def state(self) -> Counted:
        return Counted(episode_id=self.episode_id, step_count=self.step_count, count=self.count)

    @tool()
    def add(self, number: int = 1) -> int:
        """Add to the count."""
        self.count += number
        return self.count

    @tool()
    def wait(self, gate: str, context: Context, heed: bool = False) -> int:
        """Wait for a file, or with `heed` for a caller that gives up; then add one."""
        context.progress(1, total=2, message="waiting")
        while not Path(gate).exists():
            if heed and context.cancelled:
                return -1
            time.sleep(0.005)
        self.count += 1
        return self.count

    @tool()
    def speak(self, text: str, context: Context) -> None:
        """Say something to everybody who listens, and to the caller's log."""
        self.emit({"said": text})
        context.log(text, level="warning")
        context.log({"said": text})

    @tool()
    def search(self) -> None:
        """Find the hammer."""
        self.found = True
        self.tools_changed()

    @tool()
    def hammer(self) -> None:
        """Hit something."""

    @tool()
    def fail(self) -> None:
        """Say no."""
        raise ToolFailed("not today", code="NOT_TODAY", field="day", hint="Come tomorrow.")

    @tool()
    def shout(self, size: int) -> str:
        """A long text; how often there was one is in its first letters."""
        self.count += 1
        return f"{self.count}".ljust(size, "x")

    @tool()
    def chat(self, times: int, size: int) -> None:
        """Say much to those who listen."""
        for _ in range(times):
            self.emit("x" * size)

    def tool_listings(self) -> Sequence[ToolListing]:
        return [one for one in super().tool_listings() if self.found or one.name != "hammer"]

    def snapshot(self) -> bytes:
        return json.dumps([self.count, self.found, self.chance]).encode()

    def restore(self, image: bytes) -> None:
        self.count, self.found, self.chance = json.loads(image)

    def reseed(self, seed: int) -> None:
        self.chance = seed


class Do(Action):
    text: str
    forever: bool = False
    gate: str | None = None


class Done(Observation):
    text: str
    count: int


class AsyncWorkshop(AsyncEnvironment[Do, Done, State]):
    """Counts its steps on the event loop; a step may take for ever, and can be stopped."""

    def __init__(self) -> None:
        self.count = 0

    async def reset(self, *, seed: int | None = None) -> Done:
        self.count = 0
        return Done(text="", count=0)

    async def step(self, action: Do, context: Context) -> Done:
        context.progress(0)
        if action.forever:
            await asyncio.Event().wait()
        while action.gate is not None and not Path(action.gate).exists():  # noqa: ASYNC110, ASYNC240 (a test makes it)
            await asyncio.sleep(0.005)
        self.count += 1
        if action.text == "no":
            raise ValidationFailed("no is no answer", field="text")
        return Done(text=action.text, count=self.count, reward=1.0)


TOKENS: dict[str, dict[str, Any]] = {
    "token-of-anna-0001": {"id": "anna", "scopes": ["create", "reset", "act", "watch"]},
    "token-of-berta-001": {"id": "berta", "scopes": ["create", "reset", "act", "watch"]},
    "token-of-actor-001": {"id": "anna", "scopes": ["act"]},
    "token-of-carl-0001": {"id": "carl", "scopes": ["create", "act"]},
    "token-of-rita-0001": {"id": "rita", "scopes": ["create", "reset", "act"]},
}

workshop_app = create_app(Workshop, env_name="workshop")
async_app = create_app(AsyncWorkshop, env_name="async-workshop")
brief_app = create_app(Workshop, env_name="workshop", resume_lease_s=0.3)
small_app = create_app(Workshop, env_name="workshop", max_sessions=3, hang_limit_s=0.5)
guarded_app = create_app(Workshop, env_name="workshop", middleware=[BearerAuth(TOKENS), RateLimit(20, 30)])
