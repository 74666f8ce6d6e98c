"""An agent of one's own: ``openenv eval desk_suite.json --agent desk_agent:look_everywhere``."""

from __future__ import annotations

from openenv.evaluation import Task, ToolAccess


async def look_everywhere(task: Task, env: ToolAccess) -> str | None:
    """Open the drawers until the pen is found, and say where it is."""
    for number in (1, 2, 3):
        if "pen" in await env.call("drawer_open", {"number": number}):
            return f"The pen is in drawer {number}."
    return None
