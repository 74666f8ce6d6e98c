"""An environment whose tools have the names that the official MCP conformance suite asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from openenv import Action, Context, Observation, State, ToolEnvironment, create_app, tool
from openenv.errors import ToolFailed
from openenv.types import ToolListing, ToolResult

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


class Suite(ToolEnvironment[Action, Observation, State]):
    """What the conformance suite looks for."""

    execution = "inline"

    changed = False

    def reset(self) -> Observation:
        return Observation()

    def tool_listings(self) -> Sequence[ToolListing]:
        """One tool is listed only after the list was changed, another has a schema written by hand."""
        listed = [one for one in super().tool_listings() if self.changed or one.name != "test_late_tool"]
        by_hand = "json_schema_2020_12_tool"
        return [replace(one, input_schema=SCHEMA) if one.name == by_hand else one for one in listed]

    def list_resources(self) -> list[dict[str, Any]]:
        return [
            {"uri": "test://static-text", "name": "A text", "mimeType": "text/plain"},
            {"uri": "test://static-binary", "name": "An image", "mimeType": "image/png"},
        ]

    def list_resource_templates(self) -> list[dict[str, Any]]:
        return [{"uriTemplate": "test://template/{id}/data", "name": "Data by id", "mimeType": "application/json"}]

    def read_resource(self, uri: str) -> list[dict[str, Any]] | None:
        if uri == "test://static-text":
            text = "This is the content of the static text resource."
            return [{"uri": uri, "mimeType": "text/plain", "text": text}]
        if uri == "test://static-binary":
            return [{"uri": uri, "mimeType": "image/png", "blob": PNG}]
        found = re.fullmatch(r"test://template/([^/]+)/data", uri)
        if found is None:
            return None
        data = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        return [{"uri": uri, "mimeType": "application/json", "text": json.dumps(data)}]

    def list_prompts(self) -> list[dict[str, Any]]:
        arguments = {
            "test_simple_prompt": [],
            "test_prompt_with_arguments": ["arg1", "arg2"],
            "test_prompt_with_embedded_resource": ["resourceUri"],
            "test_prompt_with_image": [],
        }
        return [
            {"name": name, "description": f"{name}.", "arguments": [{"name": one, "required": True} for one in taken]}
            for name, taken in arguments.items()
        ]

    def get_prompt(self, name: str, arguments: Mapping[str, str]) -> dict[str, Any] | None:
        given = [arguments.get(one, "") for one in ("arg1", "arg2", "resourceUri")]
        image = {"type": "image", "data": PNG, "mimeType": "image/png"}
        embedded = _resource(given[2], "text/plain", "Embedded resource content for testing.")
        contents: dict[str, list[Any]] = {
            "test_simple_prompt": ["This is a simple prompt for testing."],
            "test_prompt_with_arguments": [f"Prompt with arguments: arg1='{given[0]}', arg2='{given[1]}'"],
            "test_prompt_with_embedded_resource": [embedded, "Please process the embedded resource above."],
            "test_prompt_with_image": [image, "Please analyze the image above."],
        }
        if name not in contents:
            return None
        blocks = [{"type": "text", "text": one} if isinstance(one, str) else one for one in contents[name]]
        return {"messages": [{"role": "user", "content": block} for block in blocks]}

    def complete_argument(self, name: str, argument: str, value: str) -> list[str]:
        return [word for word in ("paris", "park", "party", "test") if word.startswith(value)]

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

    @tool(read_only=True)
    def test_late_tool(self) -> str:
        """Comes later."""
        return "late"

    @tool(read_only=True)
    def json_schema_2020_12_tool(self, **fields: Any) -> str:
        """Has a schema with definitions, references and conditions."""
        return ", ".join(sorted(fields))

    @tool(read_only=True)
    def test_custom_headers(
        self,
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
        priority: Annotated[int | None, Field(json_schema_extra={"x-mcp-header": "Priority"})] = None,
    ) -> str:
        """Has arguments that are repeated in headers."""
        return f"{region} {priority}"

    @tool(read_only=True)
    def test_logging_tool(self, context: Context) -> str:
        """Writes to the caller's log, if there is to be one."""
        context.log("a line for the log")
        return "logged"

    @tool(read_only=True)
    def test_streaming_elicitation(self, context: Context) -> str:
        """Streams what it does; it never asks the client anything."""
        for done in (1, 2):
            context.progress(done, 2)
            context.log(f"step {done}")
        return "streamed"

    @tool()
    def test_trigger_tool_change(self) -> str:
        """Changes the list of tools."""
        self.changed = True
        self.tools_changed()
        return "There is one more tool now."


def _resource(uri: str, kind: str, text: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


app = create_app(Suite, env_name="suite")
