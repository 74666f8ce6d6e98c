"""OpenEnv 0.10's server side under its own names; each is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.lazy import Names

if TYPE_CHECKING:
    from openenv.core.env_server.base_transforms import CompositeTransform, NullTransform
    from openenv.core.env_server.exceptions import (
        ConcurrencyConfigurationError,
        EnvironmentFactoryError,
        OpenEnvError,
        SessionCapacityError,
        SessionCreationError,
        SessionNotFoundError,
    )
    from openenv.core.env_server.http_server import HTTPEnvServer, create_app, create_fastapi_app
    from openenv.core.env_server.interfaces import Environment, Message, ModelTokenizer, TaskProvider, Transform
    from openenv.core.env_server.mcp_environment import MCPEnvironment
    from openenv.core.env_server.mcp_types import (
        RESERVED_TOOL_NAMES,
        CallToolAction,
        CallToolObservation,
        JsonRpcError,
        JsonRpcErrorCode,
        JsonRpcRequest,
        JsonRpcResponse,
        ListToolsAction,
        ListToolsObservation,
        McpMethod,
        Tool,
        ToolError,
        ToolErrorType,
        WSMCPMessage,
        WSMCPResponse,
    )
    from openenv.core.env_server.route_config import GetEndpointConfig
    from openenv.core.env_server.serialization import (
        deserialize_action,
        deserialize_action_with_preprocessing,
        serialize_observation,
    )
    from openenv.core.env_server.types import (
        Action,
        BaseMessage,
        ConcurrencyConfig,
        GetTaskRangeRequest,
        GetTaskRequest,
        HealthResponse,
        HealthStatus,
        ListTasksRequest,
        NumTasksRequest,
        Observation,
        SchemaResponse,
        ServerCapacityStatus,
        ServerMode,
        SessionInfo,
        State,
        WSCloseMessage,
        WSErrorCode,
        WSErrorResponse,
        WSIncomingMessage,
        WSObservationResponse,
        WSResetMessage,
        WSStateMessage,
        WSStateResponse,
        WSStepMessage,
    )
    from openenv.core.env_server.web_interface import WebInterfaceManager, create_web_interface_app

_NAMES = Names(
    __name__,
    {
        "openenv.core.env_server.types": (
            "Action",
            "BaseMessage",
            "ConcurrencyConfig",
            "GetTaskRangeRequest",
            "GetTaskRequest",
            "HealthResponse",
            "HealthStatus",
            "ListTasksRequest",
            "NumTasksRequest",
            "Observation",
            "SchemaResponse",
            "ServerCapacityStatus",
            "ServerMode",
            "SessionInfo",
            "State",
            "WSCloseMessage",
            "WSErrorCode",
            "WSErrorResponse",
            "WSIncomingMessage",
            "WSObservationResponse",
            "WSResetMessage",
            "WSStateMessage",
            "WSStateResponse",
            "WSStepMessage",
        ),
        "openenv.core.env_server.mcp_types": (
            "CallToolAction",
            "CallToolObservation",
            "JsonRpcError",
            "JsonRpcErrorCode",
            "JsonRpcRequest",
            "JsonRpcResponse",
            "ListToolsAction",
            "ListToolsObservation",
            "McpMethod",
            "RESERVED_TOOL_NAMES",
            "Tool",
            "ToolError",
            "ToolErrorType",
            "WSMCPMessage",
            "WSMCPResponse",
        ),
        "openenv.core.env_server.base_transforms": ("CompositeTransform", "NullTransform"),
        "openenv.core.env_server.exceptions": (
            "ConcurrencyConfigurationError",
            "EnvironmentFactoryError",
            "OpenEnvError",
            "SessionCapacityError",
            "SessionCreationError",
            "SessionNotFoundError",
        ),
        "openenv.core.env_server.interfaces": ("Environment", "Message", "ModelTokenizer", "TaskProvider", "Transform"),
        "openenv.core.env_server.mcp_environment": ("MCPEnvironment",),
        "openenv.core.env_server.route_config": ("GetEndpointConfig",),
        "openenv.core.env_server.serialization": (
            "deserialize_action",
            "deserialize_action_with_preprocessing",
            "serialize_observation",
        ),
        "openenv.core.env_server.http_server": ("HTTPEnvServer", "create_app", "create_fastapi_app"),
        "openenv.core.env_server.web_interface": ("WebInterfaceManager", "create_web_interface_app"),
    },
)

__all__ = [
    "RESERVED_TOOL_NAMES",
    "Action",
    "BaseMessage",
    "CallToolAction",
    "CallToolObservation",
    "CompositeTransform",
    "ConcurrencyConfig",
    "ConcurrencyConfigurationError",
    "Environment",
    "EnvironmentFactoryError",
    "GetEndpointConfig",
    "GetTaskRangeRequest",
    "GetTaskRequest",
    "HTTPEnvServer",
    "HealthResponse",
    "HealthStatus",
    "JsonRpcError",
    "JsonRpcErrorCode",
    "JsonRpcRequest",
    "JsonRpcResponse",
    "ListTasksRequest",
    "ListToolsAction",
    "ListToolsObservation",
    "MCPEnvironment",
    "McpMethod",
    "Message",
    "ModelTokenizer",
    "NullTransform",
    "NumTasksRequest",
    "Observation",
    "OpenEnvError",
    "SchemaResponse",
    "ServerCapacityStatus",
    "ServerMode",
    "SessionCapacityError",
    "SessionCreationError",
    "SessionInfo",
    "SessionNotFoundError",
    "State",
    "TaskProvider",
    "Tool",
    "ToolError",
    "ToolErrorType",
    "Transform",
    "WSCloseMessage",
    "WSErrorCode",
    "WSErrorResponse",
    "WSIncomingMessage",
    "WSMCPMessage",
    "WSMCPResponse",
    "WSObservationResponse",
    "WSResetMessage",
    "WSStateMessage",
    "WSStateResponse",
    "WSStepMessage",
    "WebInterfaceManager",
    "create_app",
    "create_fastapi_app",
    "create_web_interface_app",
    "deserialize_action",
    "deserialize_action_with_preprocessing",
    "serialize_observation",
]


def __getattr__(name: str) -> Any:
    return _NAMES.get(name)


def __dir__() -> list[str]:
    return sorted(__all__)
