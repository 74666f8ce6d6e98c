"""Multi-tenancy: an environment whose database is the one that its caller names, a file of its own."""

# ruff: noqa: UP045 (the spelling of the overview is what its readers copy)

from __future__ import annotations

import functools
import os
import sqlite3
from pathlib import Path
from typing import Any, Optional

from openenv import Action, Context, Environment, Observation, create_app


class Note(Action):
    text: str


class Notes(Observation):
    texts: list[str]
    token: Optional[str] = None


class SessionManager:
    def get_engine(self, database_id: str) -> sqlite3.Connection:
        path = Path(os.environ["TENANCY_DATA"]) / f"{database_id}.sqlite"
        engine = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        engine.execute("CREATE TABLE IF NOT EXISTS notes(text TEXT)")
        return engine


@functools.cache
def get_session_manager() -> SessionManager:
    return SessionManager()


class MCPEnvironment(Environment[Note, Notes, Any]):
    context_headers = ("x-database-id", "x-access-token")

    def __init__(self, database_id: str, auth_token: Optional[str] = None) -> None:
        super().__init__()
        self.database_id = database_id
        self.auth_token = auth_token
        self.session_manager = get_session_manager()
        # Each database_id → separate SQLite file
        self.db_engine = self.session_manager.get_engine(database_id)

    def reset(self) -> Notes:
        return self._seen()

    def step(self, action: Note) -> Notes:
        self.db_engine.execute("INSERT INTO notes VALUES (?)", (action.text,))
        return self._seen()

    def close(self) -> None:
        self.db_engine.close()

    def _seen(self) -> Notes:
        return Notes(texts=[text for (text,) in self.db_engine.execute("SELECT text FROM notes")], token=self.auth_token)


def create_environment(context: Context) -> MCPEnvironment:
    return MCPEnvironment(context.header("x-database-id") or "default", auth_token=context.header("x-access-token"))


app = create_app(create_environment, Note, Notes, env_name="notes")
