"""Applications that hang, each somewhere else; for ``openenv serve tests.support.hanging:NAME``."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from openenv.core.env_server import Action, Environment, Observation, State, create_app

NOTES = Path(os.environ.get("HANGING_NOTES", os.devnull))
NEVER = threading.Event()


class Do(Action):
    hang: bool = True


class Steps(Environment[Do, Observation, State]):
    """Its step hangs on its thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.note("made")

    def note(self, what: str) -> None:
        with NOTES.open("a") as file:
            file.write(f"{what}\n")

    def hang(self) -> None:
        self.note("hangs")
        NEVER.wait()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Do, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        if action.hang:
            self.hang()
        return Observation()

    @property
    def state(self) -> State:
        return State()

    def close(self) -> None:
        self.note("closed")


class Makes(Steps):
    """Cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        self.hang()


class Half(Steps):
    """Its step hangs on a thread of its own."""

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        return Observation()


class HalfMakes(Half):
    """Cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        self.hang()


class Deaf(Steps):
    """Its step waits on the event loop, and goes on when it is cancelled."""

    async def step_async(self, action: Do, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        self.note("hangs")
        while action.hang:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                self.note("is cancelled")
        return Observation()


class Blocks(Steps):
    """Its step blocks the event loop itself."""

    async def step_async(self, action: Do, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        self.note("hangs")
        while True:
            time.sleep(1)  # noqa: ASYNC251 - it is to block


class Closes(Steps):
    """Its close hangs."""

    def step(self, action: Do, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        self.note("hangs")
        return Observation()

    def close(self) -> None:
        self.hang()


steps = create_app(Steps, Do, Observation, max_concurrent_envs=4)
makes = create_app(Makes, Do, Observation, max_concurrent_envs=4)
half = create_app(Half, Do, Observation, max_concurrent_envs=4)
halfmakes = create_app(HalfMakes, Do, Observation, max_concurrent_envs=4)
deaf = create_app(Deaf, Do, Observation, max_concurrent_envs=4)
blocks = create_app(Blocks, Do, Observation, max_concurrent_envs=4)
closes = create_app(Closes, Do, Observation, max_concurrent_envs=4)
