"""Opening a SQLite image: always a copy, always in memory."""

from __future__ import annotations

import sqlite3

from openenv.errors import ExecutionFailed

_HEADER_BYTES = 100
_VERSIONS = slice(18, 20)
_WAL, _ROLLBACK = b"\x02\x02", b"\x01\x01"


def open_image(image: bytes) -> sqlite3.Connection:
    """A connection to a private copy of the image, in autocommit mode; the caller closes it.

    An image of no bytes is an empty database (SQLite serialises one that way). One in WAL mode is opened as one in
    rollback mode: the two read the same once it has no log beside it, and a database in memory cannot have one.
    Raises `ExecutionFailed` when the bytes are not a database. Costs one copy of the image.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
    try:
        if image:
            if len(image) >= _HEADER_BYTES and image[_VERSIONS] == _WAL:
                image = b"".join((image[: _VERSIONS.start], _ROLLBACK, image[_VERSIONS.stop :]))
            connection.deserialize(image)
        # Reads the schema now, before a caller lowers the limits that SQLite would apply to it as well.
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except (sqlite3.Error, MemoryError, OverflowError) as error:
        connection.close()
        raise ExecutionFailed(
            f"The database image ({len(image)} bytes) cannot be opened: {error}",
            hint="It has to be what sqlite3.Connection.serialize() gives, complete and unchanged.",
        ) from None
    return connection


def quoted(name: str) -> str:
    """The name as a SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def text_of(data: bytes) -> str:
    """Text as a database has it; bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8", "replace")


def exact_text_of(data: bytes) -> str:
    """Text as a database has it, so that different bytes stay different; `json_cell` makes it fit for JSON."""
    return data.decode("utf-8", "surrogateescape")


def json_cell(value: object) -> object:
    """A cell as JSON has it: bytes become ``{"blob": "<hex>"}``, infinities the strings ``"Infinity"`` and ``"-Infinity"``."""
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str) and not value.isascii():
        return text_of(value.encode("utf-8", "surrogateescape"))
    return value
