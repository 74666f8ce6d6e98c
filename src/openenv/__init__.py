"""OpenEnv: isolated environments for tool-using agents.

The public names. Each is loaded when it is first used, so that a client never loads the server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from openenv.version import __version__

if TYPE_CHECKING:
    from openenv.client import EnvClient, GenericAction, GenericEnvClient, SyncEnvClient, ToolClient
    from openenv.environment import AsyncEnvironment, Context, DatabaseBacked, Environment, Transform
    from openenv.errors import OpenEnvError
    from openenv.operation import Operation, Principal, Result
    from openenv.scenario import Scenario, Suite
    from openenv.server import create_app, create_fastapi_app
    from openenv.tools import ToolEnvironment, tool
    from openenv.types import (
        Action,
        CallToolAction,
        CallToolObservation,
        EnvironmentMetadata,
        ListToolsAction,
        ListToolsObservation,
        Observation,
        State,
        StepResult,
        Tool,
    )

_HOMES = {
    "openenv.client": ("EnvClient", "GenericAction", "GenericEnvClient", "SyncEnvClient", "ToolClient"),
    "openenv.environment": ("AsyncEnvironment", "Context", "DatabaseBacked", "Environment", "Transform"),
    "openenv.errors": ("OpenEnvError",),
    "openenv.operation": ("Operation", "Principal", "Result"),
    "openenv.scenario": ("Scenario", "Suite"),
    "openenv.server": ("create_app", "create_fastapi_app"),
    "openenv.tools": ("ToolEnvironment", "tool"),
    "openenv.types": (
        "Action",
        "CallToolAction",
        "CallToolObservation",
        "EnvironmentMetadata",
        "ListToolsAction",
        "ListToolsObservation",
        "Observation",
        "State",
        "StepResult",
        "Tool",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "AsyncEnvironment",
    "CallToolAction",
    "CallToolObservation",
    "Context",
    "DatabaseBacked",
    "EnvClient",
    "Environment",
    "EnvironmentMetadata",
    "GenericAction",
    "GenericEnvClient",
    "ListToolsAction",
    "ListToolsObservation",
    "Observation",
    "OpenEnvError",
    "Operation",
    "Principal",
    "Result",
    "Scenario",
    "State",
    "StepResult",
    "Suite",
    "SyncEnvClient",
    "Tool",
    "ToolClient",
    "ToolEnvironment",
    "Transform",
    "__version__",
    "create_app",
    "create_fastapi_app",
    "tool",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'openenv' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
