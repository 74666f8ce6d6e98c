"""What is served while it is fuzzed: environments that never fail by themselves, so that every failure is the server's.

``thread_app`` and ``async_app`` take an action with fields of every kind, ``tool_app`` has tools, a database, tasks and
named worlds. Each raises `TargetFault` when it is told to, and only then. Each keeps a log of its own of what was done in
it, which neither a reset nor a restore takes back: the proof that everything was done once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from openenv import (
    Action,
    AsyncEnvironment,
    Context,
    Environment,
    Observation,
    State,
    ToolEnvironment,
    create_app,
    tool,
)
from openenv.errors import ToolFailed
from openenv.operation import RequestContext
from tests.fuzz.judge import OWN_FAULT

LEASE_S = 60.0
RESUME_LEASE_S = 60.0
"""Longer than any conversation waits, on whatever machine, with a session that it is not done with."""
_PLANTED = bool(os.environ.get("OPENENV_FUZZ_PLANTED_FAULT"))
"""For the test of the fuzzer: a fault that it has to find."""


class TargetFault(Exception):
    """The environment was told to raise."""


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=50)
    weights: list[float] = []


class Deed(Action):
    text: str
    count: int = Field(default=0, ge=-10, le=10)
    ratio: float = 0.0
    kind: Literal["plain", "fancy"] = "plain"
    flags: list[bool] = []
    inner: Inner | None = None
    anything: Any = None
    pause_ms: int = Field(default=0, ge=0, le=50)


class Seen(Observation):
    text: str = ""
    anything: Any = None
    steps: int = 0


class Memory(State):
    last: Any = None
    log: list[str] = []


class _Log:
    """What was done in a world, in order: steps, resets, and step counts that were restored."""

    snapshot_version: ClassVar[int] = 1

    def __init__(self) -> None:
        self.log: list[str] = []

    def snapshot(self) -> bytes:
        return json.dumps(self.log).encode()

    def restore(self, image: bytes) -> None:
        """A world that nothing was done in yet takes the image's log; another one notes that it was put back."""
        log = json.loads(image)
        self.log = [*self.log, f"restore {counted(log)}"] if self.log else log

    def reseed(self, seed: int) -> None:
        """There is no chance in it."""


def counted(log: Sequence[str]) -> int:
    """The steps of the episode that a log ends with."""
    steps = 0
    for entry in log:
        kind, _, rest = entry.partition(" ")
        steps = {"step": steps + 1, "reset": 0}[kind] if kind != "restore" else int(rest)
    return steps


class _Deeds(_Log):
    """What both kinds of environment do."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.steps = 0

    def begin(self, seed: int | None) -> Seen:
        self.log.append("reset")
        self.last, self.steps = None, 0
        return Seen(text=f"seed {seed}")

    def act(self, action: Deed) -> Seen:
        if action.text == "boom":
            raise TargetFault(OWN_FAULT)
        if _PLANTED and action.count == 7:
            raise ValueError("seven")
        self.log.append(f"step {action.text[:40]}")
        self.last = action.anything
        self.steps += 1
        return Seen(text=action.text, anything=action.anything, steps=self.steps, reward=action.ratio)


class ThreadTarget(_Deeds, Environment[Deed, Seen, Memory]):
    """On threads."""

    def reset(self, *, seed: int | None = None, note: str = "") -> Seen:
        return self.begin(seed)

    def step(self, action: Deed) -> Seen:
        if action.pause_ms:
            time.sleep(action.pause_ms / 1000)
        return self.act(action)

    @property
    def state(self) -> Memory:
        return Memory(episode_id=self.episode_id, step_count=self.step_count, last=self.last, log=self.log)


class AsyncTarget(_Deeds, AsyncEnvironment[Deed, Seen, Memory]):
    """As coroutines."""

    async def reset(self, *, seed: int | None = None, **others: Any) -> Seen:
        return self.begin(seed)

    async def step(self, action: Deed, **others: Any) -> Seen:
        if action.pause_ms:
            await asyncio.sleep(action.pause_ms / 1000)
        return self.act(action)

    @property
    def state(self) -> Memory:
        return Memory(episode_id=self.episode_id, step_count=self.step_count, log=self.log)


class ToolTarget(_Log, ToolEnvironment[Action, Observation, Memory]):
    """Tools over a database, on the event loop."""

    execution = "inline"
    context_headers = ("x-room",)

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self._fill()

    def _fill(self) -> None:
        self.db.executescript("DROP TABLE IF EXISTS things; CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL);")

    @classmethod
    def world_name(cls, context: RequestContext) -> str | None:
        return context.headers.get("x-room")

    def reset(self, *, seed: int | None = None) -> Observation:
        self._fill()
        self.log.append("reset")
        return Observation()

    @property
    def state(self) -> Memory:
        return Memory(episode_id=self.episode_id, step_count=self.step_count, log=self.log)

    @tool(read_only=True)
    def things_list(self) -> list[str]:
        """List the names."""
        return [row[0] for row in self.db.execute("SELECT name FROM things ORDER BY id")]

    @tool()
    def things_add(self, name: Annotated[str, Field(max_length=100)], context: Context, times: int = 1) -> dict[str, Any]:
        """Add a thing."""
        if not 1 <= times <= 10:
            raise ToolFailed("times is from 1 to 10", field="times")
        for _ in range(times):
            self.db.execute("INSERT INTO things(name) VALUES (?)", (name,))
        self.db.commit()
        self.log.append(f"step {name[:40]}")
        return {"added": times, "room": context.header("x-room")}

    @tool(read_only=True)
    def things_say(self, anything: Any, inner: Inner | None = None) -> Any:
        """Say anything back."""
        return anything

    @tool()
    def things_break(self) -> None:
        """Raise."""
        raise TargetFault(OWN_FAULT)

    def list_splits(self) -> Sequence[Any]:
        return ["train", {"name": "other", "type": "test"}]

    def list_tasks(self, split: str) -> Sequence[Any]:
        return [{"split": split, "number": number} for number in range(3)]

    def num_tasks(self, split: str) -> int:
        return 3

    def get_task(self, split: str, index: int) -> Any:
        return self.list_tasks(split)[index]

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> Sequence[Any]:
        return self.list_tasks(split)[start:stop]

    def database_image(self) -> bytes:
        return self.db.serialize()

    def close(self) -> None:
        self.db.close()


_LIMITS: dict[str, Any] = {"session_lease_s": LEASE_S, "resume_lease_s": RESUME_LEASE_S, "threads": 4}

thread_app = create_app(ThreadTarget, env_name="target", state_type=Memory, **_LIMITS)
async_app = create_app(AsyncTarget, env_name="target", state_type=Memory, **_LIMITS)
tool_app = create_app(ToolTarget, env_name="target", state_type=Memory, **_LIMITS)
