"""A small library on SQLite: what the tests of the evaluation run agents on."""

from __future__ import annotations

import sqlite3
import time
from typing import Annotated, Any, Literal

from pydantic import Field

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import ToolFailed, Unauthenticated

SCHEMA = """
CREATE TABLE shelves(id TEXT PRIMARY KEY, title TEXT NOT NULL);
CREATE TABLE books(id TEXT PRIMARY KEY, shelf TEXT NOT NULL, title TEXT NOT NULL);
CREATE TABLE loans(book TEXT PRIMARY KEY, member TEXT NOT NULL, days INTEGER NOT NULL);
INSERT INTO shelves VALUES ('science-archive', 'Science, kept'), ('science-fiction', 'Novels'), ('poems', 'Poems');
INSERT INTO books VALUES ('dune', 'poems', 'Dune'), ('odes', 'poems', 'Odes'), ('cosmos', 'science-archive', 'Cosmos');
"""


class Library(ToolEnvironment[Action, Observation, State]):
    """Shelves, books and loans; who acts is told by the header x-member."""

    context_headers = ("x-member",)

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False)

    def reset(self, *, seed: int | None = None) -> Observation:
        self.db.executescript("DROP TABLE IF EXISTS shelves; DROP TABLE IF EXISTS books; DROP TABLE IF EXISTS loans;")
        self.db.executescript(SCHEMA)
        self.db.commit()
        return Observation()

    @tool(read_only=True)
    def shelves_list(self) -> dict[str, Any]:
        """List the shelves."""
        rows = self.db.execute("SELECT id, title FROM shelves ORDER BY id")
        return {"items": [{"id": row[0], "title": row[1]} for row in rows]}

    @tool(read_only=True)
    def books_count(self, shelf: str) -> int:
        """Count a shelf's books."""
        self._shelf(shelf)
        count: int = self.db.execute("SELECT COUNT(*) FROM books WHERE shelf = ?", (shelf,)).fetchone()[0]
        return count

    @tool()
    def book_move(self, book: str, shelf: str) -> dict[str, str]:
        """Put a book on another shelf."""
        self._shelf(shelf)
        if not self.db.execute("UPDATE books SET shelf = ? WHERE id = ?", (shelf, book)).rowcount:
            raise ToolFailed(f"there is no book {book!r}", code="NOT_FOUND", field="book")
        self.db.commit()
        return {"book": book, "shelf": shelf}

    @tool()
    def book_lend(
        self, book: str, days: Annotated[int, Field(ge=1, le=30)], kind: Literal["short", "long"], context: Context
    ) -> None:
        """Lend a book to who asks; only science fiction is lent."""
        member = context.header("x-member")
        if member is None:
            raise Unauthenticated("nobody borrows here", hint="Send x-member.")
        shelf = self.db.execute("SELECT shelf FROM books WHERE id = ?", (book,)).fetchone()
        if shelf != ("science-fiction",):
            raise ToolFailed(f"{book!r} is not on the shelf that is lent", code="NOT_LENT", field="book")
        self.db.execute("INSERT INTO loans VALUES (?, ?, ?)", (book, member, days))
        self.db.commit()

    @tool()
    def ladder_break(self) -> None:
        """Fail in a way that nobody meant."""
        raise ZeroDivisionError("the ladder broke")

    @tool(read_only=True)
    def nap(self, seconds: Annotated[float, Field(ge=0, le=1)]) -> None:
        """Take time."""
        time.sleep(seconds)

    def database_image(self) -> bytes:
        """The database."""
        return self.db.serialize()

    def close(self) -> None:
        self.db.close()

    def _shelf(self, shelf: str) -> None:
        if self.db.execute("SELECT 1 FROM shelves WHERE id = ?", (shelf,)).fetchone() is None:
            raise ToolFailed(f"there is no shelf {shelf!r}", code="NOT_FOUND", field="shelf", hint="List the shelves.")


class Drowsy(Library):
    """Sleeps longer than it is told to."""

    @tool(read_only=True)
    def nap(self, seconds: Annotated[float, Field(ge=0, le=1)]) -> None:
        """Take much time."""
        time.sleep(5 * seconds)


app = create_app(Library, env_name="library")
drowsy_app = create_app(Drowsy, env_name="library")
small_app = create_app(Library, env_name="library", max_sessions=1)
