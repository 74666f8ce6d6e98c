"""Clients: a session with an environment, from the agent's or the trainer's side.

`EnvClient` speaks OpenEnv's WebSocket dialect or protocol v2, `GenericEnvClient` to any environment, `ToolClient` calls
tools. `Connection` carries many sessions over protocol v2, and `VectorEnvClient` steps many environments as one.
`HttpSession` is for graders. Nothing here loads the server; what an `EnvClient` does without is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.client.core import EnvClient
from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.client.sync import SyncEnvClient
from openenv.client.tools import SyncToolClient, ToolClient
from openenv.lazy import Names

if TYPE_CHECKING:
    from openenv.client.http import HttpSession
    from openenv.client.v2.batch import Reset
    from openenv.client.v2.blocking import SyncConnection, SyncRemoteSession, SyncVectorEnvClient
    from openenv.client.v2.connection import Connection
    from openenv.client.v2.events import Event, EventStream
    from openenv.client.v2.session import RemoteSession, Snapshot
    from openenv.client.v2.vector import EndedStepResult, VectorEnvClient

_NAMES = Names(
    __name__,
    {
        "openenv.client.http": ("HttpSession",),
        "openenv.client.v2.batch": ("Reset",),
        "openenv.client.v2.blocking": ("SyncConnection", "SyncRemoteSession", "SyncVectorEnvClient"),
        "openenv.client.v2.connection": ("Connection",),
        "openenv.client.v2.events": ("Event", "EventStream"),
        "openenv.client.v2.session": ("RemoteSession", "Snapshot"),
        "openenv.client.v2.vector": ("EndedStepResult", "VectorEnvClient"),
    },
)

__all__ = [
    "Connection",
    "EndedStepResult",
    "EnvClient",
    "Event",
    "EventStream",
    "GenericAction",
    "GenericEnvClient",
    "HttpSession",
    "RemoteSession",
    "Reset",
    "Snapshot",
    "SyncConnection",
    "SyncEnvClient",
    "SyncRemoteSession",
    "SyncToolClient",
    "SyncVectorEnvClient",
    "ToolClient",
    "VectorEnvClient",
]


def __getattr__(name: str) -> Any:
    return _NAMES.get(name)
