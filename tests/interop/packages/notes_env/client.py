"""The notebook's client: everything is inherited but the state's type."""

from typing import Any

from openenv.core.mcp_client import MCPToolClient

from .models import NotesState


class NotesEnv(MCPToolClient):
    """``list_tools``, ``call_tool("write", title=…)``, and steps of ``CallToolAction``."""

    def _parse_state(self, payload: dict[str, Any]) -> NotesState:
        return NotesState(**payload)
