"""A world's database as bytes that may be anybody's, opened once they are known to be a Calendar's."""

from __future__ import annotations

import sqlite3
from functools import cache

from calendar_env.storage.template import SCHEMA_VERSION, template_image
from calendar_env.times import parse_instant, utc_text

_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
_WORLD = "SELECT id, seed, now, change, next_id FROM world LIMIT 2"


def connect(database: str) -> sqlite3.Connection:
    """A connection as every world's is."""
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.row_factory = sqlite3.Row
    return connection


def opened(image: bytes, *, checked: bool = False) -> sqlite3.Connection:
    """A connection to a copy of the image, in memory; ``checked`` is for one that is known to be a Calendar's.

    The schema has to be ours before any row is read: nobody's trigger, view or constraint runs. Then SQLite checks every
    page, index and constraint, in time that grows with the image. What rows say beyond that is not checked.

    Raises ``ValueError`` when it is not a Calendar's database, or a damaged one.
    """
    connection = connect(":memory:")
    try:
        connection.deserialize(image)
        if not checked:
            _check(connection)
    except (sqlite3.Error, OverflowError, MemoryError) as error:
        connection.close()
        raise ValueError(f"the image is no database that can be read: {str(error) or type(error).__name__}") from None
    except ValueError:
        connection.close()
        raise
    return connection


def is_clock(value: object) -> bool:
    """Whether a value is an instant as the store writes it."""
    try:
        return isinstance(value, str) and utc_text(parse_instant(value)) == value
    except ValueError:
        return False


def _check(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION or _schema(connection) != _our_schema():
        raise ValueError("the image is a database, but not a Calendar's of this version")
    for pragma, sound in (("integrity_check(1)", [("ok",)]), ("foreign_key_check", [])):
        if [tuple(row) for row in connection.execute(f"PRAGMA {pragma}")] != sound:
            raise ValueError("the image's database is damaged")
    worlds = connection.execute(_WORLD).fetchall()
    if len(worlds) != 1:
        raise ValueError("the image's database has no world, or several")
    _, seed, now, change, next_id = worlds[0]
    if not all(type(number) is int and 0 <= number < 2**63 for number in (seed, change, next_id)):
        raise ValueError("the image's world has a counter that is none")
    if not is_clock(now):
        raise ValueError("the image's world has a clock that is none")


def _schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return [tuple(row) for row in connection.execute(_SCHEMA)]


@cache
def _our_schema() -> list[tuple[str, ...]]:
    connection = connect(":memory:")
    try:
        connection.deserialize(template_image())
        return _schema(connection)
    finally:
        connection.close()
