"""Small environments with something special about each, and applications that serve them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from openenv import (
    Action,
    AsyncEnvironment,
    Context,
    DatabaseBacked,
    Environment,
    Observation,
    Principal,
    State,
    ToolEnvironment,
    Transform,
    create_app,
    tool,
)
from openenv.errors import Forbidden, ToolFailed, Unauthenticated, ValidationFailed
from openenv.middleware import Hooks
from openenv.operation import Connection, Operation, RequestContext, Result
from openenv.types import CallToolAction, ListToolsAction


class Say(Action):
    text: str = Field(min_length=1)
    seconds: float = 0.0
    gate: str | None = None


class Heard(Observation):
    text: str
    thread: str = ""
    count: int = 0


class Talker(Environment[Say, Heard, State]):
    """Counts what it hears; 'boom' raises, 'end' ends, and it can take its time, or wait until a file is there."""

    closed: list[int] = []
    live = 0
    most_at_once = 0
    _lock = threading.Lock()

    def __init__(self) -> None:
        self.count = 0
        self.inside = 0

    def reset(self, *, seed: int | None = None, start: int = 0) -> Heard:
        self.count = start
        return Heard(text=f"seed {seed}", thread=threading.current_thread().name, count=self.count)

    def step(self, action: Say) -> Heard:
        self.inside += 1
        type(self).most_at_once = max(type(self).most_at_once, self.inside)
        try:
            if action.seconds:
                time.sleep(action.seconds)
            while action.gate is not None and not Path(action.gate).exists():
                time.sleep(0.005)
            if action.text == "boom":
                raise KeyError("the talker broke")
            self.count += 1
            ended = action.text == "end"
            return Heard(text=action.text, thread=threading.current_thread().name, count=self.count, reward=1.0, terminated=ended)
        finally:
            self.inside -= 1

    def close(self) -> None:
        type(self).closed.append(id(self))


class InlineTalker(Talker):
    execution = "inline"
    closed: list[int] = []


class PinnedTalker(Talker):
    affinity = True
    closed: list[int] = []


class Gate:
    """Makes a kind of talker whose step 'hold' does not return before the gate is opened."""

    def __init__(self, talker: type[Talker] = Talker) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()
        gate = self

        class Held(talker):  # type: ignore[valid-type,misc]
            def step(self, action: Say) -> Heard:
                if action.text == "hold":
                    gate._entered.set()
                    gate._opened.wait()
                heard: Heard = super().step(action)
                return heard

        self.kind: type[Talker] = Held

    async def entered(self) -> None:
        """Wait until a step is held."""
        await asyncio.to_thread(self._entered.wait)

    def open(self) -> None:
        """Let go of what is held."""
        self._opened.set()


class AsyncTalker(AsyncEnvironment[Say, Heard, State]):
    """The same as a coroutine."""

    closed: list[int] = []

    def __init__(self) -> None:
        self.count = 0

    async def reset(self, *, seed: int | None = None) -> Heard:
        await asyncio.sleep(0)
        self.count = 0
        return Heard(text=f"seed {seed}")

    async def step(self, action: Say) -> Heard:
        await asyncio.sleep(action.seconds)
        if action.text == "boom":
            raise KeyError("the talker broke")
        self.count += 1
        return Heard(text=action.text, count=self.count, reward=1.0)

    async def close(self) -> None:
        type(self).closed.append(id(self))


class Shout(Transform[Heard]):
    def __call__(self, observation: Heard) -> Heard:
        observation.text = observation.text.upper()
        return observation


class FileTalker(Talker):
    """Writes a line to a file when it is closed, so that another process can see it."""

    path: Path

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.path = Path(context.query["log"])

    def step(self, action: Say) -> Heard:
        with self.path.open("a") as log:
            log.write(f"step {action.text}\n")
        return super().step(action)

    def close(self) -> None:
        with self.path.open("a") as log:
            log.write("close\n")


class GatedTalker(InlineTalker):
    """Is not made before a file is there."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        while not Path(context.query["gate"]).exists():
            time.sleep(0.01)


class Notes(ToolEnvironment[Action, Observation, State]):
    """A notebook in a SQLite database, with named notebooks that are shared."""

    execution = "inline"
    context_headers = ("x-notebook", "x-user")

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False)

    @classmethod
    def world_name(cls, context: RequestContext) -> str | None:
        name = context.headers.get("x-notebook")
        if name is not None and not name.isalnum():
            raise ValidationFailed("a notebook's name is letters and digits", field="x-notebook", example="work")
        return name

    def reset(self, *, seed: int | None = None) -> Observation:
        self.db.executescript(
            "DROP TABLE IF EXISTS notes; CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT NOT NULL, author TEXT);"
        )
        self.db.execute("INSERT INTO notes(text, author) VALUES ('buy milk', 'seed')")
        self.db.commit()
        return Observation()

    @tool(read_only=True)
    def notes_list(self) -> list[dict[str, Any]]:
        """List every note."""
        rows = self.db.execute("SELECT id, text, author FROM notes ORDER BY id")
        return [{"id": row[0], "text": row[1], "author": row[2]} for row in rows]

    @tool()
    def notes_add(self, text: Annotated[str, Field(max_length=100)], context: Context) -> dict[str, Any]:
        """Add a note.

        Args:
            text: What to write down.
        """
        user = context.header("x-user")
        if user is None:
            raise Unauthenticated("nobody writes here", hint="Send x-user.")
        added = self.db.execute("INSERT INTO notes(text, author) VALUES (?, ?)", (text, user))
        self.db.commit()
        return {"id": added.lastrowid}

    @tool(destructive=True)
    def notes_remove(self, number: Annotated[int, Field(ge=1)]) -> None:
        """Remove a note."""
        if not self.db.execute("DELETE FROM notes WHERE id = ?", (number,)).rowcount:
            raise ToolFailed(f"there is no note {number}", code="NOT_FOUND", field="number", hint="List the notes.")
        self.db.commit()

    @tool()
    def notes_break(self) -> None:
        """Fail in a way that nobody meant."""
        raise ZeroDivisionError("one by zero")

    def database_image(self) -> bytes:
        return self.db.serialize()

    def close(self) -> None:
        self.db.close()


class Passport(Hooks):
    """Sets the principal by a header, as an authentication would."""

    USERS = {
        "anna": Principal("anna", scopes=frozenset({"create", "reset", "act"})),
        "gert": Principal("gert", scopes=frozenset({"create", "reset", "act", "grade"})),
        "zoe": Principal("zoe", tenant="other"),
    }

    def admit(self, connection: Connection) -> None:
        name = connection.headers.get("x-passport")
        if name is None:
            raise Unauthenticated("no passport", hint="Send x-passport.")
        if name.startswith("session "):
            connection.principal = Principal("agent", scopes=frozenset({"act"}), session=name.removeprefix("session "))
            return
        if name not in self.USERS:
            raise Forbidden(f"{name!r} may not come in")
        connection.principal = self.USERS[name]


class Undertaker(Hooks):
    """Writes a line when a session has ended; it takes its time, on the event loop."""

    def after(self, operation: Operation, result: Result) -> None:
        if operation.op == "close" and "log" in operation.context.query:
            time.sleep(0.2)
            Path(operation.context.query["log"]).write_text("ended")


NOTE_ACTION = ListToolsAction | CallToolAction
assert issubclass(Notes, DatabaseBacked)

talker_app = create_app(Talker, env_name="talker", max_sessions=8)
pinned_app = create_app(PinnedTalker, env_name="pinned", threads=2)
async_app = create_app(AsyncTalker, env_name="async")
file_app = create_app(FileTalker, env_name="files")
ended_app = create_app(InlineTalker, env_name="ended", middleware=[Undertaker()])
gated_app = create_app(GatedTalker, env_name="gated")
notes_app = create_app(Notes, env_name="notes", session_lease_s=60)
guarded_app = create_app(Notes, env_name="notes", middleware=[Passport()])
hanging_app = create_app(Talker, env_name="hanging", hang_limit_s=0.3, threads=2)
