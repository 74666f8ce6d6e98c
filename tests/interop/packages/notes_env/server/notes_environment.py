"""The notebook: a FastMCP server's tools over a dictionary."""

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastmcp import FastMCP
from pydantic import Field

from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.types import Action, Observation

try:
    from ..models import CallToolAction, Note, NotesState
except ImportError:
    from models import CallToolAction, Note, NotesState

REWARDS = {"write": 1.0, "tear_out": -0.5}


class NotesEnvironment(MCPEnvironment):
    """A tool call that is a step is rewarded by its tool's name; a notebook of three pages is full."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        server = FastMCP("notes_env")
        self._notes: dict[str, Note] = {}
        self._state = NotesState(episode_id=str(uuid4()))

        @server.tool
        def write(
            title: Annotated[str, Field(description="What the page is called", min_length=1)],
            text: str = "",
            pinned: bool = False,
        ) -> Note:
            """Write a page, or write it anew."""
            self._notes[title] = Note(title=title, text=text, pinned=pinned)
            return self._notes[title]

        @server.tool
        def read(title: str) -> str:
            """Read a page aloud."""
            if title not in self._notes:
                raise KeyError(f"no page called {title}")
            return self._notes[title].text

        @server.tool
        def titles(order: Literal["written", "alphabetical"] = "written") -> list[str]:
            """Every page's title."""
            return sorted(self._notes) if order == "alphabetical" else list(self._notes)

        @server.tool
        def count(words: bool = False) -> dict[str, int]:
            """How many pages there are, or words."""
            if words:
                return {"words": sum(len(note.text.split()) for note in self._notes.values())}
            return {"pages": len(self._notes)}

        @server.tool
        def tear_out(title: str) -> None:
            """Lose a page."""
            self._notes.pop(title)

        super().__init__(server)

        @self.tool()
        def average_length() -> float:
            """Letters per page."""
            return sum(len(note.text) for note in self._notes.values()) / max(len(self._notes), 1)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Observation:
        self._notes.clear()
        for title in kwargs.get("titles", []):
            self._notes[title] = Note(title=title, text="as found")
        self._state = NotesState(episode_id=episode_id or str(uuid4()))
        return Observation(done=False, reward=0.0, metadata={"status": "empty" if not self._notes else "begun", "seed": seed})

    def step(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return self._rewarded(action, super().step(action, timeout_s=timeout_s, **kwargs))

    async def step_async(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return self._rewarded(action, await super().step_async(action, timeout_s=timeout_s, **kwargs))

    def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
        return Observation(metadata={"error": f"{type(action).__name__} is no tool call"})

    def _rewarded(self, action: Action, observation: Observation) -> Observation:
        self._state.step_count += 1
        if isinstance(action, CallToolAction) and getattr(observation, "error", None) is None:
            observation.reward = REWARDS.get(action.tool_name, 0.0)
            observation.done = len(self._notes) >= 3
            self._state.rewarded += observation.reward
        return observation

    @property
    def state(self) -> NotesState:
        self._state.notes = len(self._notes)
        return self._state
