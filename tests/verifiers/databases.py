"""Databases for the tests of verifiers."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

SCHEMA = (
    "CREATE TABLE calendars (id TEXT PRIMARY KEY, summary TEXT, owner TEXT, etag INTEGER DEFAULT 0)",
    "CREATE TABLE acls (id INTEGER PRIMARY KEY, calendar_id TEXT, user_id TEXT, role TEXT)",
    "CREATE TABLE log (line TEXT)",
    "INSERT INTO calendars VALUES ('bob-projects', 'Projects', 'bob', 1), ('bob-development', 'Development', 'bob', 1)",
    "INSERT INTO acls VALUES (1, 'bob-projects', 'bob', 'owner'), (2, 'bob-projects', 'alice_manager', 'reader')",
    "INSERT INTO log VALUES ('begun')",
)


def database(*statements: str, schema: Sequence[str] = SCHEMA) -> bytes:
    """The image of the schema after the statements."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in (*schema, *statements):
            connection.execute(statement)
        return connection.serialize()
    finally:
        connection.close()
