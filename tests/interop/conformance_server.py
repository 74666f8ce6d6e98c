"""An environment whose tools have the names that the official MCP conformance suite asks for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, Field

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import ToolFailed
from openenv.types import ToolResult

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


class Address(BaseModel):
    street: str | None = None
    city: str | None = None


class Suite(ToolEnvironment[Action, Observation, State]):
    """What the conformance suite looks for."""

    execution = "inline"

    def reset(self) -> Observation:
        return Observation()

    @tool(read_only=True)
    def test_simple_text(self) -> str:
        """A text."""
        return "This is a simple text response for testing."

    @tool(read_only=True)
    def test_image_content(self) -> ToolResult:
        """An image."""
        return ToolResult([{"type": "image", "data": PNG, "mimeType": "image/png"}])

    @tool(read_only=True)
    def test_audio_content(self) -> ToolResult:
        """A sound."""
        return ToolResult([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}])

    @tool(read_only=True)
    def test_embedded_resource(self) -> ToolResult:
        """A resource."""
        return ToolResult([_resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")])

    @tool(read_only=True)
    def test_multiple_content_types(self) -> ToolResult:
        """A text, an image and a resource."""
        data = '{"test":"data","value":123}'
        return ToolResult(
            [
                {"type": "text", "text": "Multiple content types test:"},
                {"type": "image", "data": PNG, "mimeType": "image/png"},
                _resource("test://mixed-content-resource", "application/json", data),
            ]
        )

    @tool(read_only=True)
    def test_tool_with_logging(self, context: Context) -> str:
        """Says what it does in the caller's log."""
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            context.log(line)
        return "Tool execution completed"

    @tool(read_only=True)
    def test_tool_with_progress(self, context: Context) -> str:
        """Says how far it is."""
        for done in (0, 50, 100):
            context.progress(done, 100, f"Completed step {done} of 100")
        return "Tool execution completed"

    @tool(read_only=True)
    def test_error_handling(self) -> str:
        """Says no."""
        raise ToolFailed("This tool intentionally returns an error for testing", code="INTENDED")


def _resource(uri: str, kind: str, text: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


app = create_app(Suite, env_name="suite")
