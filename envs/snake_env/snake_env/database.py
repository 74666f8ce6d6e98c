"""What verifiers see of a game: a SQLite database with one table ``game`` of one row."""

from __future__ import annotations

import sqlite3

from snake_env.game import Game

_SCHEMA = """CREATE TABLE game (
    width INTEGER NOT NULL, height INTEGER NOT NULL,
    length INTEGER NOT NULL, score INTEGER NOT NULL, steps INTEGER NOT NULL,
    stop_reason TEXT
)"""


def image_of(game: Game) -> bytes:
    """The database as SQLite serialises it; ``stop_reason`` is null while the snake lives."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.execute(_SCHEMA)
        row = (game.width, game.height, len(game.body), game.score, game.steps, game.stop)
        connection.execute("INSERT INTO game VALUES (?, ?, ?, ?, ?, ?)", row)
        return connection.serialize()
    finally:
        connection.close()
