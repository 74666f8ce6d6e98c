"""Names of an environment's tools beside those that an agent has itself."""

from __future__ import annotations

from collections.abc import Collection

from openenv.core.env_server.mcp_types import Tool
from openenv.core.harness._sessions import refuse_reserved

__all__ = ["resolve_tool_conflicts"]


def resolve_tool_conflicts(env_tools: list[Tool], harness_builtin_tools: Collection[str], prefix: str = "env_") -> list[Tool]:
    """The tools, those with a name of the agent's own renamed by the prefix.

    Raises:
        ValueError: A name is a verb of the environment's, is there twice, or is taken with the prefix too.
    """
    names = [one.name for one in env_tools]
    refuse_reserved(names)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Duplicate environment tool name: {name}")
    taken = {*names, *harness_builtin_tools}
    resolved = []
    for one in env_tools:
        if one.name not in harness_builtin_tools:
            resolved.append(one)
            continue
        renamed = f"{prefix}{one.name}"
        if renamed in taken:
            raise ValueError(
                f"Cannot resolve tool name conflict: {one.name!r} is a tool of the agent's own, and {renamed!r} is taken too"
            )
        taken.add(renamed)
        resolved.append(one.model_copy(update={"name": renamed}))
    return resolved
