"""What a client of the official SDK sees of a server, as JSON: ``python mcp_sdk_transcript.py MODE TARGET…``.

MODE is ``session`` (the handshake, which the lines 1 and 2 of the SDK both have), or ``auto`` (2 only: the newest revision
that the server has). TARGET is a URL, or the command of a server over a pipe. Runs under either line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp import ClientSession, StdioServerParameters
from mcp.client import streamable_http
from mcp.client.stdio import stdio_client
from mcp.shared import exceptions

LINE = int(version("mcp").partition(".")[0])
Refused: Any = getattr(exceptions, "McpError" if LINE == 1 else "MCPError")


def plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


class Seen:
    """What came unasked."""

    def __init__(self) -> None:
        self.logged: list[Any] = []
        self.progress: list[Any] = []
        self.changed = asyncio.Event()

    async def on_log(self, params: Any) -> None:
        self.logged.append([params.level, params.data])

    async def on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append([progress, total, message])

    async def on_message(self, message: Any) -> None:
        if "tools/list_changed" in str(message):
            self.changed.set()


@asynccontextmanager
async def streams(target: list[str]) -> Any:
    if target[0].startswith("http"):
        connect: Any = getattr(streamable_http, "streamablehttp_client" if LINE == 1 else "streamable_http_client")
        async with connect(target[0]) as opened:
            yield opened[:2]
        return
    parameters = StdioServerParameters(command=target[0], args=target[1:], env=dict(os.environ))
    async with stdio_client(parameters) as opened:
        yield opened


@asynccontextmanager
async def session(mode: str, target: list[str], seen: Seen) -> Any:
    if mode == "session":
        async with (
            streams(target) as (read, write),
            ClientSession(read, write, logging_callback=seen.on_log, message_handler=seen.on_message) as client,
        ):
            await client.initialize()
            yield client
        return
    from mcp import Client

    pipe = StdioServerParameters(command=target[0], args=target[1:], env=dict(os.environ))
    where = target[0] if target[0].startswith("http") else stdio_client(pipe)
    async with Client(where, mode=mode, logging_callback=seen.on_log, message_handler=seen.on_message) as client:
        yield client


async def attempt(calling: Any) -> Any:
    try:
        return plain(await calling)
    except Refused as error:
        return {"code": error.error.code, "message": error.error.message}


async def main(mode: str, *target: str) -> dict[str, Any]:
    seen = Seen()
    async with session(mode, list(target), seen) as client:
        tools = {tool["name"]: tool for tool in (plain(one) for one in (await client.list_tools()).tools)}
        transcript = {
            "names": sorted(tools),
            "look": tools["look"],
            "added": await attempt(client.call_tool("add", {"by": 2})),
            "looked": await attempt(client.call_tool("look", {})),
            "placed": await attempt(client.call_tool("place", {})),
            "pictured": await attempt(client.call_tool("picture", {})),
            "refused": await attempt(client.call_tool("refuse", {})),
            "wrong": await attempt(client.call_tool("add", {"by": "x"})),
            "unknown": await attempt(client.call_tool("ad", {})),
            "said": await attempt(client.call_tool("say", {"levels": ["info", "error"]}, progress_callback=seen.on_progress)),
        }
        if "grow" in tools:
            transcript["grown"] = await attempt(client.call_tool("grow", {}))
            if mode == "session":
                await asyncio.wait_for(seen.changed.wait(), 60)
            transcript["after"] = sorted(tool.name for tool in (await client.list_tools()).tools)
        if LINE == 2:
            begun = asyncio.Event()

            async def on_begin(*_: Any) -> None:
                begun.set()

            slow = asyncio.create_task(client.call_tool("slow", {}, progress_callback=on_begin))
            await asyncio.wait_for(begun.wait(), 60)
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)
            transcript["taken back"] = plain(await client.call_tool("was_taken_back", {}))["content"][0]["text"]
        transcript |= {"log": seen.logged, "progress": seen.progress}
    return transcript


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(*sys.argv[1:]))))
