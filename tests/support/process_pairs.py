"""Environments that are served twice: where they are at home, and in worker processes. Both have to say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field

from calendar_env.environment import CalendarEnvironment
from calendar_env.models import CalendarAction, CalendarObservation, CalendarState
from openenv import Action, Environment, Observation, State, ToolEnvironment, create_app, tool
from openenv.arrays import Array, ndarray
from openenv.environment import Execution
from openenv.errors import CapacityReached, Forbidden, OpenEnvError, RateLimited, ToolFailed, ValidationFailed
from openenv.types import Binary, EnvironmentMetadata, ToolAction, ToolResult, WireObservation
from snake_env.environment import SnakeEnvironment

__all__ = ["APPLICATIONS", "ERRORS", "VALUES", "FarCalendar", "FarOdd", "FarSnake", "FarToolbox", "Odd", "Toolbox"]


class Ask(Action):
    model_config = ConfigDict(populate_by_name=True)

    what: str
    secret: str = Field(default="", exclude=True, description="JSON would lose it")
    amount: Decimal = Decimal(0)
    odd_name: int = Field(default=0, alias="oddName")


class Told(Observation):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    text: str = ""
    odd_name: int = Field(default=0, alias="oddName")
    value: Any = None
    amount: Decimal = Decimal("1.50")


class PlainTold(WireObservation):
    text: str = ""
    truncated: str = "my own"


class Picture(Observation):
    pixels: Binary = b""
    grid: Annotated[ndarray, Array("uint8", (2, None))] = Field(default_factory=lambda: np.zeros((2, 1), "uint8"))


class Place(State):
    picture: Binary = b"\xff"
    odd_name: int = Field(default=7, serialization_alias="oddName")
    note: dict[str, Any] = Field(default_factory=dict)


class OwnError(OpenEnvError):
    """Of a class that only the environment knows."""

    code = "OWN"
    http_status = 418


class Inexpressible:
    """JSON has no word for it."""


ERRORS: dict[str, Any] = {
    "own": lambda: OwnError(
        "teapot", field="what", hint="Ask for coffee.", example={"what": "coffee"}, details={"deep": [1, None]}
    ),
    "tool": lambda: ToolFailed("no", code="NOT_FOUND", field="calendarId"),
    "capacity": lambda: CapacityReached("full", retry_after_s=7.5),
    "rate": lambda: RateLimited("slowly", retry_after_s=3.0),
    "forbidden": lambda: Forbidden("not you"),
    "validation": lambda: ValidationFailed("wrong", errors=[{"loc": ["a", 1], "msg": "no", "type": "x", "input": math.nan}]),
    "inexpressible": lambda: ValidationFailed("wrong", example=Inexpressible(), details={"what": Inexpressible()}),
    "key": lambda: KeyError("missing"),
    "silent": lambda: RuntimeError(),
    "exit": lambda: SystemExit(3),
    "interrupt": lambda: KeyboardInterrupt(),
}

VALUES: dict[str, Any] = {
    "numbers": [0, -0.0, 1e22, 1e-7, 0.1 + 0.2, 2**70, True, None, math.nan, math.inf],
    "texts": ["", "é\u2028\U0001f600", '\x00\x1f"\\/', {"b": 1, "a": {"": []}}],
    "set": {1},
    "bytes": b"as text",
    "inexpressible": Inexpressible(),
    "surrogate": "\ud800",
    "path": Path("a/b"),
}


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Odd(Environment[Ask, Observation, Place]):
    """Answers in every way that there is."""

    execution: ClassVar[Execution] = "inline"

    def reset(self, *, seed: int | None = None, first: str = "") -> Observation:
        return Told(text=f"{seed} {first}", oddName=1, metadata={"seed": seed})

    def step(self, action: Ask) -> Observation:
        kind, _, rest = action.what.partition(" ")
        answer: Observation = getattr(self, f"_{kind}")(rest, action)
        return answer

    @property
    def state(self) -> Place:
        return Place(episode_id=self.episode_id, step_count=self.step_count, note={"deep": [1.0, None]})

    def _say(self, text: str, action: Ask) -> Observation:
        return Told(text=f"{text}/{action.secret}/{action.amount}/{action.odd_name}", oddName=action.odd_name)

    def _plain(self, text: str, _: Ask) -> Any:
        return PlainTold(text=text, done=True, reward=2)

    def _reward(self, text: str, _: Ask) -> Observation:
        reward = {"none": None, "true": True, "int": 3, "float": 3.0, "nan": math.nan, "inf": -math.inf, "big": 2**80}[text]
        return Told(reward=reward, text=text)

    def _end(self, text: str, _: Ask) -> Observation:
        return Told(terminated="t" in text, truncated="x" in text, done="d" in text, stop_reason=text or None)

    def _value(self, text: str, _: Ask) -> Observation:
        return Told(value=_deep(int(text)) if text.isdigit() else VALUES[text])

    def _metadata(self, text: str, _: Ask) -> Observation:
        return Told(metadata={"value": _deep(int(text)) if text.isdigit() else VALUES[text]})

    def _raise(self, text: str, _: Ask) -> Observation:
        raise ERRORS[text]()

    def _picture(self, text: str, _: Ask) -> Observation:
        return Picture(pixels=b"\xff\x00" * int(text), grid=np.arange(6, dtype="uint8").reshape(2, 3), reward=0.5)

    def _nothing(self, _: str, __: Ask) -> Any:
        return None

    def _coroutine(self, _: str, __: Ask) -> Any:
        async def later() -> None: ...

        return later()

    def list_splits(self) -> Sequence[Any]:
        """Two, in two ways."""
        return ["train", {"name": "held-out", "type": "test"}]

    def list_tasks(self, split: str) -> Sequence[Any]:
        """One after the other."""
        return (Place(odd_name=number) for number in range(3))  # type: ignore[return-value]

    def num_tasks(self, split: str) -> int:
        """How many."""
        return 3

    def get_task(self, split: str, index: int) -> Any:
        """One."""
        return [*self.list_tasks(split)][index]


class Toolbox(ToolEnvironment[Action, Observation, State]):
    """Tools that answer in every way that there is."""

    execution: ClassVar[Execution] = "inline"

    def reset(self, *, seed: int | None = None) -> Observation:
        return Observation(metadata={"seed": seed})

    @tool(read_only=True)
    def value(self, name: str) -> Any:
        """A value by its name."""
        return VALUES[name]

    @tool()
    def add(self, first: int, second: int = 1) -> dict[str, int]:
        """Add two numbers."""
        return {"sum": first + second}

    @tool(title="Fails", idempotent=True)
    def fail(self, how: str) -> str:
        """Fails in a way of its name."""
        raise ERRORS[how]()

    @tool()
    def picture(self) -> ToolResult:
        """Answers in MCP's terms."""
        image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
        return ToolResult([image], structured_content={"a": 1}, meta={"m": None}, data=[1.0])

    @tool()
    def model(self) -> Place:
        """A model with a name of its own."""
        return Place(odd_name=3)


class FarOdd(Odd):
    """The same in a process."""

    execution = "process"


class FarToolbox(Toolbox):
    """The same in a process."""

    execution = "process"


class FarCalendar(CalendarEnvironment):
    """The same in a process."""

    execution = "process"

    @classmethod
    def get_metadata(cls) -> EnvironmentMetadata:
        return CalendarEnvironment.get_metadata()


class FarSnake(SnakeEnvironment):
    """The same in a process."""

    execution = "process"


APPLICATIONS: dict[str, Any] = {
    "odd": lambda: create_app(Odd, Ask, Told, "odd", state_type=Place),
    "far_odd": lambda: create_app(FarOdd, Ask, Told, "odd", state_type=Place, processes=3),
    "toolbox": lambda: create_app(Toolbox, ToolAction, Observation, env_name="toolbox"),
    "far_toolbox": lambda: create_app(FarToolbox, ToolAction, Observation, env_name="toolbox", processes=3),
    "calendar": lambda: create_app(
        CalendarEnvironment, CalendarAction, CalendarObservation, "calendar", state_type=CalendarState
    ),
    "far_calendar": lambda: create_app(
        FarCalendar, CalendarAction, CalendarObservation, "calendar", state_type=CalendarState, processes=8
    ),
}
"""What a server serves; made when it is asked for, so that a worker that loads this module makes none."""


def __getattr__(name: str) -> Any:
    if name not in APPLICATIONS:
        raise AttributeError(name)
    return APPLICATIONS[name]()
