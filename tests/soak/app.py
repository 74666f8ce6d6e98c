"""What is soaked: tools on threads or in worker processes, behind a log, tokens and limits, with a factory and steps that
fail when they are told to.
"""

from __future__ import annotations

import asyncio
import io
import os
import time
from typing import Any, ClassVar, TextIO, cast

from fastapi import FastAPI

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.environment import Execution
from openenv.middleware import BearerAuth, JsonLog, RateLimit
from openenv.runtime.executors import Processes

TOKEN = "token-of-the-soak-01"
LEASE_S = 1.0
MOST = 160
APART = 12
SLOW_S = 0.02


class SoakFault(Exception):
    """The environment was told to fail."""


class Soaked(ToolEnvironment[Action, Observation, State]):
    """Counts, and keeps enough memory that a world which is not let go is seen."""

    snapshot_version = 1

    def __init__(self, context: Context) -> None:
        if "fail" in context.query:
            raise SoakFault("the factory was told to fail")
        self.count = 0
        self.weight = bytearray(10_000)

    def reset(self, *, seed: int | None = None) -> Observation:
        self.count = 0
        return Observation()

    @tool()
    def add(self) -> int:
        """Count on."""
        self.count += 1
        return self.count

    @tool()
    def linger(self) -> int:
        """Count on, slowly."""
        time.sleep(SLOW_S)
        return self.add()

    @tool()
    def fail(self) -> None:
        """Fail."""
        raise SoakFault("the tool was told to fail")

    @tool()
    def vanish(self) -> None:
        """End the process."""
        os._exit(3)

    def snapshot(self) -> bytes:
        return str(self.count).encode()

    def restore(self, image: bytes) -> None:
        self.count = int(image)

    def reseed(self, seed: int) -> None:
        """There is no chance in it."""


class Apart(Soaked):
    """The same in a process of its own."""

    execution: ClassVar[Execution] = "process"
    process_episodes: ClassVar[int] = 200


class Nowhere(io.TextIOBase):
    """Where the log is written to: what it remembers is not to grow either."""

    def write(self, text: str) -> int:
        return len(text)


def made(*more: Any, kind: type[Soaked] = Soaked) -> FastAPI:
    """The application, with a route that tells of its tasks, and perhaps with more middleware."""
    tokens = {TOKEN: {"id": "soak", "scopes": ["create", "reset", "act", "watch", "metrics"]}}
    log = JsonLog("soaked", cast("TextIO", Nowhere()))
    chain: list[Any] = [log, BearerAuth(tokens), RateLimit(1e6, 1e6, refusals=(50, 50)), *more]
    served = create_app(
        kind,
        env_name="soaked",
        middleware=chain,
        log=False,
        max_sessions=MOST,
        session_lease_s=LEASE_S,
        resume_lease_s=LEASE_S,
        threads=8,
        processes=Processes(APART, spare=APART),
    )

    async def tasks() -> dict[str, Any]:
        return {"tasks": len(asyncio.all_tasks())}

    served.add_api_route("/debug/tasks", tasks, include_in_schema=False)
    return served


app = made()
apart = made(kind=Apart)
