"""OpenEnv: isolated environments for tool-using agents.

The public names. Each is loaded when it is first used, so that a client never loads the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.lazy import Names
from openenv.version import __version__

if TYPE_CHECKING:
    from openenv import cli, core
    from openenv.auto import AutoAction, AutoEnv
    from openenv.client import (
        Connection,
        EnvClient,
        GenericAction,
        GenericEnvClient,
        SyncEnvClient,
        ToolClient,
        VectorEnvClient,
    )
    from openenv.environment import (
        AsyncEnvironment,
        Context,
        DatabaseBacked,
        Environment,
        Snapshottable,
        TaskProvider,
        Transform,
    )
    from openenv.errors import OpenEnvError
    from openenv.operation import Operation, Principal, Result
    from openenv.scenario import Scenario, Suite
    from openenv.server import create_app, create_fastapi_app
    from openenv.tools import ToolEnvironment, ToolProvider, tool
    from openenv.tools.remote import McpServer, McpServerEnvironment
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
        ToolListing,
        ToolResult,
    )

_NAMES = Names(
    __name__,
    {
        "openenv.auto": ("AutoAction", "AutoEnv"),
        "openenv.cli": ("cli",),
        "openenv.client": (
            "Connection",
            "EnvClient",
            "GenericAction",
            "GenericEnvClient",
            "SyncEnvClient",
            "ToolClient",
            "VectorEnvClient",
        ),
        "openenv.core": ("core",),
        "openenv.environment": (
            "AsyncEnvironment",
            "Context",
            "DatabaseBacked",
            "Environment",
            "Snapshottable",
            "TaskProvider",
            "Transform",
        ),
        "openenv.errors": ("OpenEnvError",),
        "openenv.operation": ("Operation", "Principal", "Result"),
        "openenv.scenario": ("Scenario", "Suite"),
        "openenv.server": ("create_app", "create_fastapi_app"),
        "openenv.tools": ("ToolEnvironment", "ToolProvider", "tool"),
        "openenv.tools.remote": ("McpServer", "McpServerEnvironment"),
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
            "ToolListing",
            "ToolResult",
        ),
    },
)

__all__ = [
    "Action",
    "AsyncEnvironment",
    "AutoAction",
    "AutoEnv",
    "CallToolAction",
    "CallToolObservation",
    "Connection",
    "Context",
    "DatabaseBacked",
    "EnvClient",
    "Environment",
    "EnvironmentMetadata",
    "GenericAction",
    "GenericEnvClient",
    "ListToolsAction",
    "ListToolsObservation",
    "McpServer",
    "McpServerEnvironment",
    "Observation",
    "OpenEnvError",
    "Operation",
    "Principal",
    "Result",
    "Scenario",
    "Snapshottable",
    "State",
    "StepResult",
    "Suite",
    "SyncEnvClient",
    "TaskProvider",
    "Tool",
    "ToolClient",
    "ToolEnvironment",
    "ToolListing",
    "ToolProvider",
    "ToolResult",
    "Transform",
    "VectorEnvClient",
    "__version__",
    "cli",
    "core",
    "create_app",
    "create_fastapi_app",
    "tool",
]


def __getattr__(name: str) -> Any:
    return _NAMES.get(name)


def __dir__() -> list[str]:
    return sorted(__all__)
