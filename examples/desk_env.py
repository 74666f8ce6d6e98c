"""An environment made of tools, with a database that verifiers can read: a desk with three drawers."""

from __future__ import annotations

import sqlite3
from typing import Annotated

from pydantic import Field

from openenv import Action, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import ToolFailed

Number = Annotated[int, Field(ge=1, le=3, description="The drawer, from 1 to 3")]


class Desk(ToolEnvironment[Action, Observation, State]):
    """A desk with three drawers, and a pen in the first."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False)

    def reset(self, *, seed: int | None = None) -> Observation:
        """Put the pen into drawer 1."""
        self.db.executescript(
            "DROP TABLE IF EXISTS things; CREATE TABLE things(name TEXT PRIMARY KEY, drawer INTEGER NOT NULL);"
            "INSERT INTO things VALUES ('pen', 1);"
        )
        return Observation()

    @tool(read_only=True)
    def drawer_open(self, number: Number) -> list[str]:
        """Open a drawer and see what is in it."""
        rows = self.db.execute("SELECT name FROM things WHERE drawer = ? ORDER BY name", (number,))
        return [name for (name,) in rows]

    @tool()
    def thing_move(self, name: str, number: Number) -> str:
        """Move a thing into another drawer."""
        with self.db:
            moved = self.db.execute("UPDATE things SET drawer = ? WHERE name = ?", (number, name))
        if not moved.rowcount:
            raise ToolFailed(f"there is no {name!r}", code="NOT_FOUND", field="name", hint="Open the drawers to see.")
        return f"{name} is in drawer {number}"

    def close(self) -> None:
        """Close the database."""
        self.db.close()

    def database_image(self) -> bytes:
        """What verifiers read."""
        return self.db.serialize()


app = create_app(Desk, env_name="desk")
