"""Environments of OpenEnv 0.10's kind that write down what is done to them: for tests that need to know how they are run."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from openenv.core.env_server import (
    Action,
    ConcurrencyConfig,
    Environment,
    HTTPEnvServer,
    ListToolsAction,
    MCPEnvironment,
    Observation,
    State,
    create_app,
)

NOTES = Path(os.environ.get("GUEST_NOTES", os.devnull))


def note(what: str) -> None:
    """A line in the file that the test reads."""
    with NOTES.open("a") as file:
        file.write(what + "\n")


class Do(Action):
    what: str = "count"


class Told(Observation):
    text: str = ""
    thread: int = 0


class Noted(Environment[Do, Told, State]):
    """Counts, and says on which thread."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.closed = False
        self.threads = {threading.get_ident()}
        note("made")

    def told(self) -> Told:
        self.threads.add(threading.get_ident())
        assert not self.closed, "an environment that was closed is used"
        return Told(text=str(self.count), thread=threading.get_ident(), metadata={"threads": len(self.threads)})

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Told:
        self.count = 0
        return self.told()

    def step(self, action: Do, timeout_s: float | None = None, **kwargs: Any) -> Told:
        self.count += 1
        if action.what == "sleep":
            time.sleep(0.5)
        if action.what == "stop":
            raise StopIteration("no more")
        if action.what == "misfit":
            Do.model_validate({"what": 5})
        return self.told()

    @property
    def state(self) -> State:
        return State(step_count=self.count)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True
        note(f"closed after {self.count} on {len(self.threads)}")


class Alone(Noted):
    """All sessions on one thread."""

    REQUIRES_SINGLE_THREAD_EXECUTOR = True


class Mixed(Noted):
    """An asynchronous step on the loop; the rest on a thread."""

    loops: set[int] = set()

    async def step_async(self, action: Do, timeout_s: float | None = None, **kwargs: Any) -> Told:
        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0)
        self.count += 1
        return Told(text=f"{self.count} on {len(self.loops)}", thread=threading.get_ident())


class HalfWild(Mixed):
    """Its reset runs on a thread and raises."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Told:
        raise StopIteration("no reset")


class SlowToMake(Noted):
    """Is not made before the test says so."""

    def __init__(self) -> None:
        note("being made")
        while not Path(f"{NOTES}.go").exists():
            time.sleep(0.01)
        super().__init__()


class Moody(MCPEnvironment):
    """One tool always, one for each mode, and one name that means something else in each; only `step` is overridden."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        from fastmcp import FastMCP

        super().__init__(FastMCP("moody"))
        self.steps = 0

        @self.tool()
        def always() -> str:
            """Always there"""
            return "always"

        @self.tool(mode="production")
        def live() -> str:
            """In production"""
            return "live"

        @self.tool(mode="simulation")
        def rehearse() -> str:
            """In simulation"""
            return "rehearse"

        @self.tool(mode="production")
        def who() -> str:
            """Who it is"""
            return "production"

        def who_simulated() -> str:
            """Who it is"""
            return "simulation"

        who_simulated.__name__ = "who"
        self.tool(mode="simulation")(who_simulated)

    def reset(self, **kwargs: Any) -> Observation:
        self.steps = 0
        return Observation()

    def step(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        self.steps += not isinstance(action, ListToolsAction)
        return super().step(action, timeout_s=timeout_s, **kwargs)

    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return Observation(metadata={"impl": True})

    @property
    def state(self) -> State:
        return State(step_count=self.steps)


short = create_app(Noted, Do, Told, concurrency_config=ConcurrencyConfig(max_concurrent_envs=1, session_timeout=0.4))
several = create_app(Noted, Do, Told, env_name="several", max_concurrent_envs=8)
alone = create_app(Alone, Do, Told, max_concurrent_envs=4)
mixed = create_app(Mixed, Do, Told, max_concurrent_envs=4)
halfwild = create_app(HalfWild, Do, Told, max_concurrent_envs=4)
slow = create_app(SlowToMake, Do, Told)
simulation = create_app(Moody, Action, Observation, max_concurrent_envs=4)
production = create_app(Moody, Action, Observation, max_concurrent_envs=4, mode="production")
server = HTTPEnvServer(Noted, Do, Told, max_concurrent_envs=2)
