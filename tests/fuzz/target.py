"""What is served while it is fuzzed: environments that never fail by themselves, so that every failure is the server's.

``thread_app`` and ``async_app`` take an action with fields of every kind, ``tool_app`` has tools, a database, tasks and
named worlds. Each raises `TargetFault` when it is told to, and only then.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any, Literal

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

LEASE_S = 5.0
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


class Seen(Observation):
    text: str = ""
    anything: Any = None
    steps: int = 0


class Memory(State):
    last: Any = None


class _Deeds:
    """What both kinds of environment do."""

    def __init__(self) -> None:
        self.last: Any = None
        self.steps = 0

    def begin(self, seed: int | None) -> Seen:
        self.last, self.steps = None, 0
        return Seen(text=f"seed {seed}")

    def act(self, action: Deed) -> Seen:
        if action.text == "boom":
            raise TargetFault(OWN_FAULT)
        if _PLANTED and action.count == 7:
            raise ValueError("seven")
        self.last = action.anything
        self.steps += 1
        return Seen(text=action.text, anything=action.anything, steps=self.steps, reward=action.ratio)


class ThreadTarget(Environment[Deed, Seen, Memory]):
    """On threads."""

    def __init__(self) -> None:
        self.deeds = _Deeds()

    def reset(self, *, seed: int | None = None, note: str = "") -> Seen:
        return self.deeds.begin(seed)

    def step(self, action: Deed) -> Seen:
        return self.deeds.act(action)

    @property
    def state(self) -> Memory:
        return Memory(episode_id=self.episode_id, step_count=self.step_count, last=self.deeds.last)


class AsyncTarget(AsyncEnvironment[Deed, Seen, State]):
    """As coroutines."""

    def __init__(self) -> None:
        self.deeds = _Deeds()

    async def reset(self, *, seed: int | None = None, **others: Any) -> Seen:
        return self.deeds.begin(seed)

    async def step(self, action: Deed, **others: Any) -> Seen:
        return self.deeds.act(action)


class ToolTarget(ToolEnvironment[Action, Observation, State]):
    """Tools over a database, on the event loop."""

    execution = "inline"
    context_headers = ("x-room",)

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self._fill()

    def _fill(self) -> None:
        self.db.executescript("DROP TABLE IF EXISTS things; CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL);")

    @classmethod
    def world_name(cls, context: RequestContext) -> str | None:
        return context.headers.get("x-room")

    def reset(self, *, seed: int | None = None) -> Observation:
        self._fill()
        return Observation()

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


thread_app = create_app(ThreadTarget, env_name="target", session_lease_s=LEASE_S, threads=4, state_type=Memory)
async_app = create_app(AsyncTarget, env_name="target", session_lease_s=LEASE_S, threads=4)
tool_app = create_app(ToolTarget, env_name="target", session_lease_s=LEASE_S, threads=4)
