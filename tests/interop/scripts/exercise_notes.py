"""The notebook: tools that are listed and called, by steps and without them."""

from __future__ import annotations

import asyncio
from typing import Any

from exercise_transcript import Transcript

__all__ = ["exercise_notes"]


def exercise_notes(package: Any, base_url: str, told: Transcript) -> None:
    """``base_url/notes`` is the application."""
    url = f"{base_url}/notes"
    with package.NotesEnv(base_url=url).sync() as client:
        told.call("reset", client.reset, seed=4, episode_id="book")
        told.call("tools", client.list_tools)
        told.call("has_tool", client.has_tool, "write")
        told.call("has no tool", client.has_tool, "burn")
        told.call("get_tool", client.get_tool, "count")
        _by_steps(package, client, told)
    with package.NotesEnv(base_url=url).sync() as client:
        _by_calls(client, told)
    with package.NotesEnv(base_url=url) as client:
        told.call("directly, reset", client.reset, titles=["one"])
        told.call("directly, call_tool", client.call_tool, "titles")
    told.call("another mode", package.NotesEnv, base_url=url, mode="simulation")
    asyncio.run(_awaited(package, url, told))
    _over_http(url, told)


def _by_steps(package: Any, client: Any, told: Transcript) -> None:
    def step(name: str, tool: str, **arguments: Any) -> None:
        told.call(name, client.step, package.CallToolAction(tool_name=tool, arguments=arguments))

    told.call("step list_tools", client.step, package.ListToolsAction())
    step("step write", "write", title="first", text="two words", pinned=True)
    step("step read", "read", title="first")
    step("step titles", "titles")
    step("step count", "count", words=True)
    step("step average_length", "average_length")
    step("step that raises", "read", title="absent")
    step("step of an unknown tool", "burn")
    step("step with a wrong argument", "count", letters=True)
    step("step without a needed argument", "read")
    step("step that returns nothing", "tear_out", title="first")
    told.call("state by steps", client.state)
    for title in ("a", "b", "c"):
        step(f"step to the third page, {title}", "write", title=title)
    told.call("state at the end", client.state)


def _by_calls(client: Any, told: Transcript) -> None:
    told.call("call: reset", client.reset, episode_id="called", titles=["found"])
    told.call("call write", client.call_tool, "write", title="first", text="some text")
    told.call("call read", client.call_tool, "read", title="first")
    told.call("call titles", client.call_tool, "titles", order="alphabetical")
    told.call("call count", client.call_tool, "count")
    told.call("call average_length", client.call_tool, "average_length")
    told.call("call tear_out", client.call_tool, "tear_out", title="found")
    told.call("call that raises", client.call_tool, "read", title="absent")
    told.call("call of an unknown tool", client.call_tool, "burn")
    told.call("call with a wrong argument", client.call_tool, "count", letters=True)
    told.call("state by calls", client.state)
    with client.new_session() as another:
        told.call("another session has its own pages", another.call_tool, "titles")
    told.call("tools, asked for again", client.list_tools, use_cache=False)


async def _awaited(package: Any, url: str, told: Transcript) -> None:
    async with package.NotesEnv(base_url=url) as client:
        await told.wait("awaited, reset", client.reset())
        tools = await client.list_tools()
        told.note("awaited, tools", sorted(tool.name for tool in tools))
        await told.wait("awaited, call", client.call_tool("write", title="there", text="it is"))
        await told.wait("awaited, step", client.step(package.CallToolAction(tool_name="read", arguments={"title": "there"})))


def _over_http(url: str, told: Transcript) -> None:
    def ask(what: str, method: str, **params: Any) -> Any:
        return told.http(what, "POST", f"{url}/mcp", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    told.http("GET metadata", "GET", f"{url}/metadata")
    told.http("GET state", "GET", f"{url}/state")
    told.http("POST step", "POST", f"{url}/step", {"action": {"tool_name": "count", "arguments": {}}})
    listed = ask("rpc tools/list", "tools/list")
    told.note("rpc tools", [sorted(tool) for tool in listed["body"]["result"]["tools"]])
    ask("rpc tools/call", "tools/call", name="write", arguments={"title": "t"})
    ask("rpc tools/call of an unknown tool", "tools/call", name="burn", arguments={})
    session = ask("rpc session/create", "openenv/session/create")["body"]["result"]["session_id"]
    ask("rpc tools/call in a session", "tools/call", name="write", arguments={"title": "kept"}, session_id=session)
    ask("rpc tools/call in the session again", "tools/call", name="titles", arguments={}, session_id=session)
    ask("rpc session/close", "openenv/session/close", session_id=session)
