"""The application of ``openenv serve --mcp``: an environment made of somebody's MCP server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from openenv.errors import ConfigurationError, ToolServerFailed

__all__ = ["remote_app"]


def remote_app(target: str, *, name: str | None, env: Sequence[str], timeout_s: float) -> Any:
    """Start the server once, to see that it works and what it is called, and make an application of it.

    Raises `ConfigurationError` when it does not work.
    """
    from openenv.server import create_app
    from openenv.tools.remote import McpServer, environment_of

    server = McpServer.of(target, env=tuple(env), call_timeout_s=timeout_s)
    try:
        environment = asyncio.run(environment_of(server, name=name))
    except ToolServerFailed as error:
        raise ConfigurationError(error.message, hint="Start it by hand to see what it says.") from error
    return create_app(environment, env_name=environment.get_metadata().name)
