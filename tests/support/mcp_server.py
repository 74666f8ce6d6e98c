"""A small MCP server for tests, made with the official SDK.

``python mcp_server.py [FILE]`` speaks over its pipes; ``python mcp_server.py --http`` serves streamable HTTP on a free
port of 127.0.0.1 and says so as uvicorn does. Into FILE goes what a test wants to see from outside, a line each.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

server = MCPServer("small-server", version="1.2.3", instructions="Remember what you are told.", log_level="ERROR")
remembered: list[str] = []
told = Path(sys.argv[1]) if len(sys.argv) > 1 and not sys.argv[1].startswith("--") else None

PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82"
)


def tell(line: str) -> None:
    """Leave a line for the test."""
    if told is not None:
        with told.open("a") as file:
            file.write(line + "\n")


class Sum(BaseModel):
    """What `add` returns."""

    total: int


@server.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
def add(a: int, b: int) -> Sum:
    """Add two numbers."""
    return Sum(total=a + b)


@server.tool(annotations=ToolAnnotations(destructive_hint=False))
def remember(text: str) -> list[str]:
    """Keep a text; says all that were kept."""
    remembered.append(text)
    return remembered


@server.tool(structured_output=False)
def process() -> str:
    """The process id."""
    return str(os.getpid())


@server.tool(structured_output=False)
def spawn() -> str:
    """Start a child that outlives this process when nobody ends it; says its id."""
    return str(subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL).pid)


@server.tool(structured_output=False)
def variables() -> str:
    """The names of the environment variables, a line each."""
    return "\n".join(sorted(os.environ))


@server.tool()
def refuse() -> CallToolResult:
    """Say no, with a reason for programs too."""
    content = TextContent(type="text", text="No. It is Sunday.")
    return CallToolResult(content=[content], structured_content={"day": "sunday"}, is_error=True)


@server.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=PIXEL, format="png")


@server.tool(structured_output=False)
async def count(to: int, context: Context, pause: float = 0.0) -> str:
    """Count, and say how far it is."""
    tell("begun")
    try:
        for number in range(1, to + 1):
            await context.report_progress(number, to, f"at {number}")
            await asyncio.sleep(pause)
    except asyncio.CancelledError:
        tell("cancelled")
        raise
    return f"counted to {to}"


@server.tool(structured_output=False)
async def grow(name: str, context: Context) -> str:
    """Get one more tool."""
    server.add_tool(process, name=name)
    await context.session.send_tool_list_changed()
    return "grown"


@server.tool(structured_output=False)
def die() -> str:
    """End at once, with exit code 3."""
    os._exit(3)


@server.custom_route("/health", methods=["GET"])  # type: ignore[untyped-decorator]
async def health(request: Request) -> Response:
    """For whoever waits for the server."""
    return Response("here")


def over_http() -> None:
    """Serve on a free port until a signal comes."""
    import uvicorn

    app = server.streamable_http_app(host="127.0.0.1")
    uvicorn.run(app, host="127.0.0.1", port=0, log_level="info")


if __name__ == "__main__":
    tell(f"started {os.getpid()}")
    if "--http" in sys.argv:
        over_http()
    else:
        server.run("stdio")
