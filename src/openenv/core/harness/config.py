"""How an agent with a loop of its own is started in a container."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["HarnessConfig", "HarnessTransport"]


class HarnessTransport(str, Enum):  # noqa: UP042 - as its text is in 0.10
    """How one talks to the agent."""

    STDIO = "stdio"
    STREAMABLE_HTTP = "http"
    MCP = "mcp"


class HarnessConfig(BaseModel):
    """An agent's process, as an `AgenticHarnessAdapter` starts it.

    ``startup_timeout_s`` bounds its start, ``session_timeout_s`` one turn. ``mcp_config_path`` is where the agent reads
    of MCP servers; None leaves that to the adapter. ``api_key_env_var`` names a variable: the key itself is never here.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    command: list[str]
    working_directory: str = "/workspace"
    env_vars: dict[str, str] = Field(default_factory=dict)
    transport: HarnessTransport = HarnessTransport.STDIO
    mcp_config_path: str | None = None
    startup_timeout_s: float = 30.0
    session_timeout_s: float = 600.0
    model: str | None = None
    api_key_env_var: str | None = None

    @field_validator("command")
    @classmethod
    def _has_a_program(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("command must contain at least one element: the program to run")
        return value
