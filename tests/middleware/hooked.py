"""A robot behind two middleware that write down on standard error what they are called with."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import Any, Literal

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import Forbidden, OpenEnvError
from openenv.operation import Connection, Operation, Result
from openenv.runtime.pipeline import Next


class Move(Action):
    direction: Literal["left", "right"]


class Robot(ToolEnvironment[Move, Observation, State]):
    """Moves by an action of its own, and has a tool."""

    snapshot_version = 1
    position = 0

    def reset(self) -> Observation:
        self.position = 0
        return Observation()

    def step(self, action: Move, context: Context) -> Observation:
        if not isinstance(action, Move):
            return super().step(action, context)
        self.position += 1 if action.direction == "right" else -1
        return Observation(reward=1.0)

    @tool(read_only=True)
    def look(self) -> str:
        """See what is here."""
        return f"shelf {self.position}"

    def snapshot(self) -> bytes:
        return str(self.position).encode()

    def restore(self, image: bytes) -> None:
        self.position = int(image)

    def reseed(self, seed: int) -> None:
        """There is no chance."""


class Witness:
    """Tells of every call; refuses who asks for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def tell(self, *what: Any) -> None:
        sys.stderr.write(f"told {json.dumps([self.name, *what])}\n")

    def admit(self, connection: Connection) -> None:
        self.tell("admit", connection.transport)
        self.refuse_for(connection.headers.get("x-refuse"), "admit")

    def refused(self, connection: Connection, error: OpenEnvError) -> None:
        self.tell("refused", connection.transport, error.code)

    def before(self, operation: Operation) -> None:
        self.tell("before", operation.op, operation.transport, *about(operation))
        self.refuse_for(operation.context.headers.get("x-refuse"), "before")

    async def handle(self, operation: Operation, next: Next) -> Result:
        self.tell("handle", operation.op, operation.transport)
        result = await next(operation)
        self.tell("handled", operation.op, operation.transport)
        return result

    def after(self, operation: Operation, result: Result) -> None:
        blank = Result()
        there = [one.name for one in fields(Result) if getattr(result, one.name) != getattr(blank, one.name)]
        self.tell("after", operation.op, operation.transport, *about(operation), there)

    @staticmethod
    def refuse_for(asked: str | None, hook: str) -> None:
        if asked == hook:
            raise Forbidden("as you like")


def about(operation: Operation) -> tuple[bool, str]:
    """Whether there is a session, and what kind of payload."""
    return operation.session is not None, type(operation.payload).__name__


class Asked(Robot):
    """Declares the header that `Witness` reads."""

    context_headers = ("x-refuse",)


app = create_app(Asked, env_name="robot", middleware=[Witness("outer"), Witness("inner")])
