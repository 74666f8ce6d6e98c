"""Environments for the tests of standard MCP, and applications that serve them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import ToolFailed
from openenv.tools import ToolOutcome
from openenv.types import ToolListing, ToolResult
from tests.support.toys import Notes, Passport

Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Place(BaseModel):
    row: int
    column: int


class Bench(ToolEnvironment[Action, Observation, State]):
    """Counts, and says how it goes. Every call that succeeds is worth 0.5."""

    def __init__(self) -> None:
        self.count = 0
        self.taken_back = False

    def reset(self, *, seed: int | None = None) -> Observation:
        self.count = 0
        return Observation()

    def observe(self, outcome: ToolOutcome) -> Observation:
        seen = super().observe(outcome)
        seen.reward = 0.5 if outcome.error is None else 0.0
        seen.done = self.count >= 100
        return seen

    @tool(read_only=True, output_schema=True, title="Look at the count")
    def look(self) -> int:
        """How far the count is."""
        return self.count

    @tool(read_only=True, output_schema=True)
    def place(self) -> Place:
        """Where the count stands."""
        return Place(row=self.count, column=0)

    @tool()
    def add(self, by: int) -> dict[str, int]:
        """Count on.

        Args:
            by: How many.
        """
        self.count += by
        return {"count": self.count}

    @tool(destructive=True, idempotent=True)
    def clear(self) -> None:
        """Begin at nought."""
        self.count = 0

    @tool(read_only=True)
    def slow(self, context: Context) -> str:
        """Take long, unless it is taken back."""
        context.progress(0, 1)
        for _ in range(400):
            if context.cancelled:
                self.taken_back = True
                return "taken back"
            time.sleep(0.02)
        return "done"

    @tool(read_only=True)
    def nap(self, context: Context) -> str:
        """Take a little while."""
        context.progress(0, 1)
        time.sleep(0.7)
        return "rested"

    @tool(read_only=True)
    def was_taken_back(self) -> bool:
        """Whether the slow call was taken back."""
        return self.taken_back

    @tool(read_only=True)
    def say(self, levels: list[Level], context: Context) -> str:
        """Write to the caller's log, and tell how far it is."""
        for number, level in enumerate(levels, start=1):
            context.log({"line": number}, level=level)
            context.progress(number, len(levels), level)
        return "said"

    @tool(read_only=True)
    def picture(self) -> ToolResult:
        """More than a text."""
        image = {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}
        return ToolResult([{"type": "text", "text": "see"}, image], {"seen": True}, meta={"kept": 1})

    @tool()
    def refuse(self) -> None:
        """Say no."""
        raise ToolFailed("not on a Monday", code="MONDAY", field="day", hint="Come tomorrow.", example={"day": "Tuesday"})

    @tool()
    def break_down(self) -> None:
        """Fail in a way that nobody meant."""
        raise ZeroDivisionError("one by zero")


class Growing(Bench):
    """Has one tool more after each call of ``grow``."""

    def __init__(self) -> None:
        super().__init__()
        self.grown = 0

    def tool_listings(self) -> Sequence[ToolListing]:
        more = [ToolListing(f"tool_{number}", "Nothing.", {"type": "object"}) for number in range(self.grown)]
        return [*super().tool_listings(), *more]

    @tool()
    def grow(self) -> int:
        """Have one tool more."""
        self.grown += 1
        self.tools_changed()
        return self.grown


class Loud(Bench):
    """Prints."""

    def reset(self, *, seed: int | None = None) -> Observation:
        print("an environment prints")  # noqa: T201
        return super().reset(seed=seed)


bench_app = create_app(Bench, env_name="bench")
growing_app = create_app(Growing, env_name="growing", session_lease_s=1.0)
changing_app = create_app(Growing, env_name="changing")
loud_app = create_app(Loud, env_name="loud")
full_app = create_app(Bench, env_name="full", max_sessions=1)
passport_app = create_app(Bench, env_name="passport", middleware=[Passport()])
named_app = create_app(Notes, env_name="named")
open_app = create_app(Bench, env_name="open", allowed_hosts=["bench.example"], allowed_origins=["https://app.example"])
