"""The world's SQLite database: its schema, its template, and one store per world."""

from calendar_env.storage.store import Stamp, Store, User

__all__ = ["Stamp", "Store", "User"]
