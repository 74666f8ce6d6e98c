"""A notebook's actions are tool calls; only its state is its own."""

from pydantic import BaseModel

from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation, ListToolsAction
from openenv.core.env_server.types import State

__all__ = ["CallToolAction", "CallToolObservation", "ListToolsAction", "Note", "NotesState"]


class Note(BaseModel):
    """One page."""

    title: str
    text: str
    pinned: bool = False


class NotesState(State):
    """How full the notebook is."""

    notes: int = 0
    rewarded: float = 0.0
