"""A FastMCP client's answers in the project's terms."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from openenv.types import ToolListing, ToolResult

__all__ = ["ContentBlock", "listing_of", "result_of"]

_ABOUT_THE_SERVER = "io.modelcontextprotocol/serverInfo"
"""What newer clients add to every result; it is no part of what the tool said."""


class ContentBlock(BaseModel):
    """One of MCP's content blocks, with the keys as attributes."""

    model_config = ConfigDict(extra="allow")

    type: str


def listing_of(tool: dict[str, Any]) -> ToolListing:
    """A tool from MCP's JSON."""
    name: str = tool["name"]
    title = tool.get("title")
    return ToolListing(
        name=name,
        description=tool.get("description") or "",
        input_schema=tool["inputSchema"],
        title=None if title == name.replace("_", " ").title() else title,  # newer servers make one of the name
        output_schema=tool.get("outputSchema"),
        annotations=tool.get("annotations") or {},
        icons=tool.get("icons"),
        meta=tool.get("_meta"),
    )


def result_of(answer: Any) -> ToolResult:
    """What a FastMCP client's ``call_tool`` returned."""
    meta = {key: value for key, value in (answer.meta or {}).items() if key != _ABOUT_THE_SERVER}
    return ToolResult(
        content=[_block(one.model_dump(mode="json", by_alias=True)) for one in answer.content],
        structured_content=answer.structured_content,
        meta=meta or None,
        data=answer.data,
        is_error=answer.is_error,
    )


def _block(block: dict[str, Any]) -> Any:
    block["meta"] = block.pop("_meta", None)
    return ContentBlock(**block)
