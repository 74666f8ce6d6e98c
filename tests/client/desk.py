"""A desk to serve: tools, a small database, an owner. The tests run it as ``openenv serve desk:app``."""

from __future__ import annotations

import sqlite3
from typing import Annotated, Any

from pydantic import Field

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import ToolFailed


class Desk(ToolEnvironment[Action, Observation, State]):
    """A desk with three drawers."""

    context_headers = ("x-owner",)

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", check_same_thread=False)

    def reset(self, *, seed: int | None = None) -> Observation:
        """Empty the drawers."""
        self.database.executescript("DROP TABLE IF EXISTS items; CREATE TABLE items (drawer INTEGER, name TEXT)")
        return Observation(metadata={"seed": seed})

    @tool()
    def drawer_put(self, drawer: Annotated[int, Field(ge=1, le=3)], name: str) -> int:
        """Put something into a drawer, and say how many things are there then.

        Args:
            drawer: Which one.
            name: What to put in.
        """
        if name == "cat":
            raise ToolFailed("Cats do not stay in drawers", code="NOT_A_THING", field="name", hint="Put in a thing.")
        if name == "bomb":
            raise ValueError("tick")
        self.database.execute("INSERT INTO items VALUES (?, ?)", (drawer, name))
        self.database.commit()
        return len(self.drawer_list(drawer))

    @tool(read_only=True)
    def drawer_list(self, drawer: Annotated[int, Field(ge=1, le=3)]) -> list[str]:
        """What is in a drawer."""
        found = self.database.execute("SELECT name FROM items WHERE drawer = ? ORDER BY rowid", (drawer,))
        return [row[0] for row in found]

    @tool(read_only=True)
    def owner(self, context: Context) -> str | None:
        """Whose desk it is."""
        return context.header("x-owner")

    def database_image(self) -> bytes:
        """The database as bytes."""
        return self.database.serialize()

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def make_small_app() -> Any:
    """The desk where only one may sit."""
    return create_app(Desk, env_name="small-desk", max_sessions=1, log=False)


app = create_app(Desk, env_name="desk", log=False)
small_app = make_small_app()
