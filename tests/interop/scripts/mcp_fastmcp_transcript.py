"""What fastmcp's client sees of a server, as JSON: ``python mcp_fastmcp_transcript.py TARGET…``. For its lines 3 and 4.

TARGET is a URL, or the command of a server over a pipe.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError


async def main(*target: str) -> dict[str, Any]:
    logged: list[Any] = []
    progress: list[Any] = []

    async def on_log(message: Any) -> None:
        logged.append([message.level, message.data])

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append([done, total, message])

    pipe = None if target[0].startswith("http") else StdioTransport(target[0], list(target[1:]), env=dict(os.environ))
    async with Client(pipe or target[0], log_handler=on_log, progress_handler=on_progress) as client:
        tools = [tool.name for tool in await client.list_tools()]
        added = await client.call_tool("add", {"by": 2})
        looked = await client.call_tool("look", {})
        placed = await client.call_tool("place", {})
        said = await client.call_tool("say", {"levels": ["info", "error"]})
        refused = await client.call_tool("refuse", {}, raise_on_error=False)
        try:
            await client.call_tool("refuse", {})
        except ToolError as error:
            raised = json.loads(str(error))
    return {
        "names": sorted(tools),
        "added": [block.text for block in added.content],
        "looked": looked.data,
        "placed": placed.structured_content,
        "said": [block.text for block in said.content],
        "refused": [refused.is_error, refused.structured_content],
        "raised": raised,
        "log": logged,
        "progress": progress,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(*sys.argv[1:]))))
