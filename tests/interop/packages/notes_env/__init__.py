"""A notebook with tools."""

from .client import NotesEnv
from .models import CallToolAction, CallToolObservation, ListToolsAction, NotesState

__all__ = ["CallToolAction", "CallToolObservation", "ListToolsAction", "NotesEnv", "NotesState"]
