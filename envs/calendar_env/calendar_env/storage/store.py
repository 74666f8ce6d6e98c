"""One world's database: in memory, forked from the template, or a named file."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from calendar_env import ids
from calendar_env.storage.images import connect, opened
from calendar_env.storage.template import SCHEMA_VERSION, template_image
from calendar_env.times import from_utc_text, utc_text
from openenv.errors import ConfigurationError

Row = sqlite3.Row
_WAL_MARK = slice(18, 20)
"""Where a database's header says whether it has a write-ahead log; an image never has one."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account."""

    user_id: str
    email: str
    name: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a change writes on the rows it touches: its number, and when it happened."""

    change: int
    now: str


class Store:
    """A world's database. One thread uses it at a time; every change is one transaction."""

    def __init__(self, path: Path | None = None) -> None:
        """In memory when ``path`` is ``None``; else that file, made from the template where it does not exist yet."""
        self.path = path
        self.resumed = False
        self._stamp: Stamp | None = None
        self._depth = 0
        self._users: dict[str, User] = {}
        if path is None:
            self.connection = connect(":memory:")
            self.connection.deserialize(template_image())
            return
        self.resumed = not _create_atomically(path)
        self.connection = connect(str(path))
        try:
            self.connection.execute("PRAGMA journal_mode=WAL")
            self.connection.execute("PRAGMA synchronous=NORMAL")
            version = self.value("PRAGMA user_version")
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise ConfigurationError(f"{path.name} is not a readable database: {error}", hint="Move the file away.") from error
        if version != SCHEMA_VERSION:
            self.connection.close()
            raise ConfigurationError(
                f"{path.name} has the schema version {version}; this server has {SCHEMA_VERSION}",
                hint="Delete the file, or serve it with the version that wrote it.",
            )

    def reset(self, seed: int) -> None:
        """Bring the seed world back, with this seed for the identifiers to come."""
        if self.path is None:
            self.connection.deserialize(template_image())
        else:
            source = sqlite3.connect(":memory:")
            try:
                source.deserialize(template_image())
                source.backup(self.connection)
            finally:
                source.close()
        self.reseed(seed)
        self._users.clear()

    def load(self, image: bytes, *, checked: bool = False) -> None:
        """Go on with the database of an image, in memory; not for a named one, whose sessions share its file.

        Raises ``ValueError``, and changes nothing, when the image is not a Calendar's database, which is looked at unless it
        is known already (``checked``).
        """
        if self.path is not None:
            raise ValueError(f"{self.path.name} is a file: an image cannot take its place")
        connection = opened(image, checked=checked)
        self.connection.close()
        self.connection = connection
        self._users.clear()

    def reseed(self, seed: int) -> None:
        """Let another seed decide the identifiers to come; their counter goes on."""
        self.connection.execute("UPDATE world SET seed = ?", (seed,))

    def close(self) -> None:
        """Close the database; a named one stays on disk."""
        self.connection.close()

    def image(self) -> bytes:
        """The whole database as SQLite serialises it, openable in memory."""
        image = bytearray(self.connection.serialize())
        image[_WAL_MARK] = b"\x01\x01"
        return bytes(image)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """All rows."""
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Row | None:
        """The first row, if any."""
        found: Row | None = self.connection.execute(sql, values).fetchone()
        return found

    def value(self, sql: str, *values: Any) -> Any:
        """The first row's first column, or ``None``."""
        found = self.connection.execute(sql, values).fetchone()
        return None if found is None else found[0]

    @property
    def now(self) -> str:
        """The episode's clock."""
        text: str = self.value("SELECT now FROM world")
        return text

    @property
    def change(self) -> int:
        """The number of the last change."""
        number: int = self.value("SELECT change FROM world")
        return number

    def user_by_token(self, token: str) -> User | None:
        """Whose access token this is."""
        user = self._users.get(token)
        if user is None:
            row = self.row("SELECT user_id, email, name, time_zone FROM users WHERE access_token = ?", token)
            if row is None:
                return None
            user = self._users[token] = User(*row)
        return user

    def user_id_of(self, email: str) -> str | None:
        """The account behind an e-mail address."""
        found: str | None = self.value("SELECT user_id FROM users WHERE email = ?", email)
        return found

    # ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. Inner transactions belong to the outermost one."""
        if self._depth:
            yield
            return
        self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        else:
            self.connection.execute("COMMIT")
        finally:
            self._depth = 0
            self._stamp = None

    def stamp(self) -> Stamp:
        """This transaction's change number and time. The first call of a transaction moves the clock."""
        if self._stamp is None:
            row = self.row("SELECT change, now FROM world")
            assert row is not None
            now = utc_text(from_utc_text(row["now"]) + timedelta(seconds=1))
            self._stamp = Stamp(row["change"] + 1, now)
            self.execute("UPDATE world SET change = ?, now = ?", self._stamp.change, now)
        return self._stamp

    def execute(self, sql: str, *values: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return self.connection.execute(sql, values).rowcount

    def insert(self, table: str, values: Mapping[str, Any]) -> int:
        """Insert a row. Table and columns are the program's own words, never a client's."""
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
        return self.connection.execute(sql, tuple(values.values())).lastrowid or 0

    def update(self, table: str, values: Mapping[str, Any], where: str, *keys: Any) -> int:
        """Update rows. Table, columns and condition are the program's own words, never a client's."""
        changes = ", ".join(f"{column} = ?" for column in values)
        return self.execute(f"UPDATE {table} SET {changes} WHERE {where}", *values.values(), *keys)

    def new_id(self) -> str:
        """An event identifier that nothing has."""
        return ids.opaque_id(*self._next_number())

    def new_calendar_id(self) -> str:
        """A calendar identifier that nothing has."""
        return ids.calendar_id(*self._next_number())

    def _next_number(self) -> tuple[int, int]:
        row = self.row("SELECT seed, next_id FROM world")
        assert row is not None
        self.execute("UPDATE world SET next_id = next_id + 1")
        return row["seed"], row["next_id"]

    def post(self, kind: str, recipients: Sequence[str], calendar_id: str, event_id: str | None = None) -> None:
        """Record who would be mailed."""
        for recipient in recipients:
            self.insert(
                "outbox",
                {
                    "kind": kind,
                    "calendar_id": calendar_id,
                    "event_id": event_id,
                    "recipient": recipient,
                    "created": self.stamp().now,
                },
            )


def _create_atomically(path: Path) -> bool:
    """Write the template under ``path`` unless something is there. True when this call made it."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-", suffix=".sqlite")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(template_image())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:
            # Not every file system has hard links; there, the last of two that create at once wins, with the same bytes.
            os.replace(temporary, path)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
