"""OpenEnv 0.10's clients of environments with tools."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ConfigDict

from openenv.client import frames
from openenv.client.tools import tool_of
from openenv.core._link import Link
from openenv.core._tool_link import ToolLink
from openenv.core.client_errors import BadSetting, spoken_as_0_10
from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.mcp_types import CallToolObservation, ListToolsObservation, Tool
from openenv.core.env_server.types import Observation, State
from openenv.errors import OpenEnvError

__all__ = ["GenericMCPObservation", "MCPClientBase", "MCPToolClient"]

logger = logging.getLogger("openenv.client")


class GenericMCPObservation(Observation):
    """An observation of an environment whose own type is not known here: its fields are attributes."""

    model_config = ConfigDict(extra="allow")


class MCPClientBase(EnvClient[Any, Observation, State]):
    """A client that knows tools. Its session is made over HTTP and outlives a lost socket: `connect` attaches again.

    Args:
        base_url: The server.
        mode: ``production``, which it also is by default; these clients know no other.
        connect_timeout_s, message_timeout_s, max_message_size_mb, headers, provider: As of `EnvClient`. So are the
            two ``websocket_ping_…``. The headers go with every request too.

    Raises:
        ValueError: Another mode, or an argument that makes no sense.
    """

    _tools: list[Tool] | None = None

    def __init__(
        self,
        base_url: str,
        connect_timeout_s: float | None = 10.0,
        message_timeout_s: float | None = 60.0,
        websocket_ping_interval_s: float | None = 20.0,
        websocket_ping_timeout_s: float | None = 20.0,
        provider: Any | None = None,
        mode: str | None = None,
        max_message_size_mb: float | None = 100.0,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            base_url=base_url,
            connect_timeout_s=connect_timeout_s,
            message_timeout_s=message_timeout_s,
            max_message_size_mb=max_message_size_mb,
            websocket_ping_interval_s=websocket_ping_interval_s,
            websocket_ping_timeout_s=websocket_ping_timeout_s,
            provider=provider,
            mode=mode if mode is not None else "production",
            headers=headers,
        )
        if self._mode != "production":
            raise BadSetting(
                f"{type(self).__name__} knows the mode 'production' only, not {mode!r}; GenericEnvClient knows 'simulation'",
                field="mode",
            )

    def list_tools(self, use_cache: bool = True) -> Any:
        """The environment's tools, a list of `Tool`; asked for once, unless ``use_cache`` is false.

        As in 0.10, the list is empty where they cannot be had; the log says why.
        """
        return self._link.call(lambda: self._list_tools_async(use_cache), "list_tools")

    def _step_payload(self, action: Any) -> dict[str, Any]:
        with spoken_as_0_10():
            return frames.payload_of(action)

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Observation]:
        reward, done = payload.get("reward"), payload.get("done", False)
        given = payload.get("observation", {})
        fields: dict[str, Any] = {**given, "reward": reward, "done": done}
        observation: Observation
        if "tool_name" in given:
            observation = CallToolObservation.model_validate(fields)
        elif isinstance(given.get("tools"), list):
            observation = ListToolsObservation.model_validate(fields | {"tools": [_tool(item) for item in given["tools"]]})
        else:
            observation = GenericMCPObservation.model_validate(fields)
        return StepResult(observation=observation, reward=reward, done=done, metadata=payload.get("metadata"))

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State.model_validate(payload)

    def _make_link(self, base_url: str | None, options: dict[str, Any], provider: Any) -> Link:
        return ToolLink(base_url, options, provider)

    @property
    def _tool_link(self) -> ToolLink:
        return cast(ToolLink, self._link)

    async def _list_tools_async(self, use_cache: bool) -> list[Tool]:
        if self._tools is None or not use_cache:
            try:
                self._tools = [_tool(item) for item in await self._tool_link.list_tools()]
            except OpenEnvError as error:
                logger.warning("the tools of %s cannot be listed: %s", self.base_url, error)
                return []
        return list(self._tools)

    async def _new_session_async(self) -> Any:
        twin = await super()._new_session_async()
        twin._tools = None
        return twin


class MCPToolClient(MCPClientBase):
    """A client that lists and calls tools. A call by `call_tool` is a step of the session, as one by `step` is."""

    def call_tool(self, /, *name: str, **kwargs: Any) -> Any:
        """Call a tool and return its value, in JSON's types: ``call_tool("add", a=1, b=2)``.

        Args:
            name: The tool's name, first or by keyword. Where it comes first, ``name=`` is an argument of the tool.
            kwargs: The tool's arguments.

        Raises:
            RuntimeError: The tool said no, or there is none of this name: a `ToolCallError` with ``code`` and ``hint``.
        """
        try:
            (tool_name,) = name or (kwargs.pop("name"),)
        except (KeyError, ValueError):
            raise TypeError("call_tool() takes the tool's name, and its arguments by keyword") from None
        return self._link.call(lambda: self._call_tool_async(tool_name, kwargs), "call_tool")

    def get_tool(self, name: str) -> Any:
        """The tool of this name, or ``None``."""
        return self._link.call(lambda: self._get_tool_async(name), "get_tool")

    def has_tool(self, name: str) -> Any:
        """Whether there is a tool of this name."""
        return self._link.call(lambda: self._has_tool_async(name), "has_tool")

    async def _call_tool_async(self, name: str, arguments: Mapping[str, Any]) -> Any:
        result = await self._tool_link.call_tool(name, arguments)
        return result["data"] if isinstance(result, dict) and "data" in result else result

    async def _get_tool_async(self, name: str) -> Tool | None:
        return next((tool for tool in await self._list_tools_async(use_cache=True) if tool.name == name), None)

    async def _has_tool_async(self, name: str) -> bool:
        return await self._get_tool_async(name) is not None


def _tool(item: Any) -> Tool:
    with spoken_as_0_10():
        return tool_of(item)
