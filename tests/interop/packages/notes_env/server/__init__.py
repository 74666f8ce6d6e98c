"""The notebook's server."""

from .notes_environment import NotesEnvironment

__all__ = ["NotesEnvironment"]
