"""Clients: a session with an environment, from the agent's or the trainer's side.

`EnvClient` speaks OpenEnv's WebSocket dialect, `GenericEnvClient` to any environment, `ToolClient` calls tools;
`openenv.client.http.HttpSession` is for graders. Nothing here loads the server, and httpx is loaded with `HttpSession` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.client.core import EnvClient
from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.client.sync import SyncEnvClient
from openenv.client.tools import SyncToolClient, ToolClient

if TYPE_CHECKING:
    from openenv.client.http import HttpSession

__all__ = [
    "EnvClient",
    "GenericAction",
    "GenericEnvClient",
    "HttpSession",
    "SyncEnvClient",
    "SyncToolClient",
    "ToolClient",
]


def __getattr__(name: str) -> Any:
    if name == "HttpSession":
        from openenv.client.http import HttpSession

        return HttpSession
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
