"""Slow work, once on the event loop and once on a thread that all sessions share."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

from openenv.core.env_server import Environment, State

from ..models import SlowAction, SlowObservation

PATIENCE = 500
"""Looks, of a hundredth of a second, for company."""


class SlowEnvironment(Environment):
    """Its methods without ``_async`` say so when they are taken."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    present: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self._steps = 0
        self._seed: int | None = None

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> SlowObservation:
        await asyncio.sleep(0.01)
        self._name = episode_id or "nameless"
        self._steps = 0
        self._seed = seed
        return SlowObservation(note=f"ready with {sorted(kwargs)}", loop=_on_a_loop())

    async def step_async(self, action: SlowAction, timeout_s: float | None = None, **kwargs: Any) -> SlowObservation:
        self._steps += 1
        if action.what == "fail":
            await asyncio.sleep(0)
            raise TimeoutError("nothing came of it")
        met = await self._meet(action.company) if action.what == "meet" else 0
        return SlowObservation(note=action.what, met=met, loop=_on_a_loop(), reward=self._steps, done=self._steps >= 5)

    async def _meet(self, company: int) -> int:
        self.present.add(self._name)
        for _ in range(PATIENCE):
            if len(self.present) >= company:
                break
            await asyncio.sleep(0.01)
        found = len(self.present)
        await asyncio.sleep(0.1)
        self.present.discard(self._name)
        return found

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> SlowObservation:
        return SlowObservation(note="the blocking reset was taken")

    def step(self, action: SlowAction, timeout_s: float | None = None, **kwargs: Any) -> SlowObservation:
        return SlowObservation(note="the blocking step was taken")

    @property
    def state(self) -> State:
        return State(episode_id=self._name, step_count=self._steps, seed=self._seed)

    def close(self) -> None:
        self.present.discard(self._name)


class OneThreadEnvironment(Environment):
    """For a library that must be used from one thread only, whoever asks."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    threads: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> SlowObservation:
        if episode_id == "first":
            self.threads.clear()
        return self._seen("ready")

    def step(self, action: SlowAction, timeout_s: float | None = None, **kwargs: Any) -> SlowObservation:
        self._steps += 1
        return self._seen(action.what)

    def _seen(self, note: str) -> SlowObservation:
        self.threads.add(threading.get_ident())
        return SlowObservation(note=note, loop=_on_a_loop(), threads=len(self.threads))

    @property
    def state(self) -> State:
        return State(step_count=self._steps)


class LonelyEnvironment(OneThreadEnvironment):
    """For one session at a time."""

    SUPPORTS_CONCURRENT_SESSIONS = False
    REQUIRES_SINGLE_THREAD_EXECUTOR = False


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
