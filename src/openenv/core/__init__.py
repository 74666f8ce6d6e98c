"""OpenEnv 0.10's import path: its names and defaults over this project's engine, each loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.core import env_server
from openenv.lazy import Names

if TYPE_CHECKING:
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server import *  # noqa: F403 - the server side has one list of its names, and it is there
    from openenv.core.generic_client import GenericAction, GenericEnvClient
    from openenv.core.llm_client import AnthropicClient, LLMClient, LLMResponse, OpenAIClient, ToolCall, create_llm_client
    from openenv.core.mcp_client import MCPClientBase, MCPToolClient
    from openenv.core.sync_client import SyncEnvClient

_NAMES = Names(
    __name__,
    {
        "openenv.core.env_server": env_server.__all__,
        "openenv.core.env_client": ("EnvClient",),
        "openenv.core.sync_client": ("SyncEnvClient",),
        "openenv.core.generic_client": ("GenericAction", "GenericEnvClient"),
        "openenv.core.mcp_client": ("MCPClientBase", "MCPToolClient"),
        "openenv.core.llm_client": (
            "AnthropicClient",
            "LLMClient",
            "LLMResponse",
            "OpenAIClient",
            "ToolCall",
            "create_llm_client",
        ),
    },
)

__all__ = [
    "AnthropicClient",
    "EnvClient",
    "GenericAction",
    "GenericEnvClient",
    "LLMClient",
    "LLMResponse",
    "MCPClientBase",
    "MCPToolClient",
    "OpenAIClient",
    "SyncEnvClient",
    "ToolCall",
    "create_llm_client",
]
__all__ += env_server.__all__


def __getattr__(name: str) -> Any:
    return _NAMES.get(name)


def __dir__() -> list[str]:
    return sorted(__all__)
