"""The seed world as an image, made once per process and copied for every world."""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib import resources
from typing import Final

from calendar_env import seed

SCHEMA_VERSION: Final = 1


@cache
def template_image() -> bytes:
    """The seed world's database as SQLite serialises it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        # Small pages keep an image, which is copied with every reset and snapshot, to what the rows need.
        connection.execute("PRAGMA page_size = 1024")
        connection.executescript(resources.files("calendar_env.storage").joinpath("schema.sql").read_text("utf-8"))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("BEGIN")
        seed.plant(connection)
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        return connection.serialize()
    finally:
        connection.close()
