"""An environment made of MCP's official ``server-everything`` over its pipes: served, called by two kinds of client, scored."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from openenv.client import ToolClient
from openenv.errors import InvalidArguments, ToolFailed, ToolNotFound
from tests.support.node import node_tools
from tests.support.processes import Server, Servers

pytestmark = pytest.mark.e2e

INDEX = "@modelcontextprotocol/server-everything/dist/index.js"


@pytest.fixture(scope="module")
def command() -> str:
    """The command line of server-everything."""
    folder = node_tools().folder
    node = folder / "node" / "node_modules" / ".bin" / "node"
    return shlex.join([str(node), str(folder / "everything" / "node_modules" / INDEX)])


@pytest.fixture
def everything(serve: Servers, command: str) -> Server:
    """``openenv serve --mcp`` of it, with one variable more than it would have."""
    options = ["--host", "127.0.0.1", "--port", "0", "--name", "everything", "--mcp-env", "FOR_EVERYTHING", "--mcp-timeout", "20"]
    environment = {**os.environ, "FOR_EVERYTHING": "yes", "NOT_FOR_IT": "no"}
    return serve.start([sys.executable, "-m", "openenv.cli", "serve", "--mcp", command, *options], env=environment)


@asynccontextmanager
async def tools_of(server: Server) -> AsyncIterator[ToolClient[Any, Any, Any]]:
    async with ToolClient[Any, Any, Any](base_url=server.url) as client:
        yield client


def children(server: Server) -> int:
    """How many processes of server-everything run under this server."""
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            found += parent == server.pid and INDEX.encode() in (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def wait_for_the_end_of_children(server: Server) -> None:
    while children(server):
        time.sleep(0.05)


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=20)


async def test_an_openenv_client_lists_and_calls_its_tools_as_steps(everything: Server) -> None:
    described = get(f"{everything.url}/metadata").json()
    assert (described["name"], described["description"]) == ("everything", "13 tools of the MCP server mcp-servers/everything")
    async with tools_of(everything) as client:
        await client.reset()
        names = {tool.name for tool in await client.list_tools()}
        assert {"echo", "get-sum", "get-tiny-image", "trigger-long-running-operation"} <= names
        assert await client.call_tool("echo", message="hello") == "Echo: hello"
        assert await client.call_tool("get-sum", a=2, b=40) == "The sum of 2 and 40 is 42."
        weather = await client.call_tool("get-structured-content", location="Chicago")
        assert set(weather) == {"temperature", "conditions", "humidity"}
        image = await client.call_tool("get-tiny-image")
        assert ("image", "image/png") in {(block["type"], block.get("mimeType")) for block in image}
        variables = json.loads(await client.call_tool("get-env"))
        assert variables["FOR_EVERYTHING"] == "yes"
        assert "NOT_FOR_IT" not in variables
        state = await client.state()
        assert (state["step_count"], state["server"]) == (5, "mcp-servers/everything")
        with pytest.raises(InvalidArguments) as missing:
            await client.call_tool("echo")
        assert missing.value.field == "message"
        with pytest.raises(InvalidArguments, match="expected number"):
            await client.call_tool("get-sum", a="two", b=3)
        with pytest.raises(ToolNotFound) as unknown:
            await client.call_tool("get-some", a=1)
        assert unknown.value.hint == "Did you mean get-sum or get-env?"
        with pytest.raises(ToolFailed, match="requires task augmentation"):
            await client.call_tool("simulate-research-query", topic="x")
        assert children(everything) == 1
        async with tools_of(everything) as other:
            await other.reset()
            assert children(everything) == 2
    wait_for_the_end_of_children(everything)
    counted = re.findall(r'openenv_steps_total{env="everything",status="(\w+)"} (\d+)', get(f"{everything.url}/metrics").text)
    assert sum(int(number) for _, number in counted) == 9, "a refused call is a step too"


async def test_an_mcp_client_has_them_through_us_with_progress_and_pictures(everything: Server) -> None:
    told: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with Client(f"{everything.url}/mcp") as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert len(listed) == 13
        annotations = listed["echo"].annotations
        assert annotations is not None
        assert annotations.read_only_hint is True
        assert listed["get-structured-content"].output_schema is not None
        picture = await client.call_tool("get-tiny-image", {})
        assert [block.type for block in picture.content] == ["text", "image", "text"]
        weather = await client.call_tool("get-structured-content", {"location": "New York"})
        assert set(weather.structured_content) == {"temperature", "conditions", "humidity"}
        long = await client.call_tool(
            "trigger-long-running-operation", {"duration": 0.3, "steps": 3}, progress_callback=on_progress
        )
        assert not long.is_error
        assert told == [(1, 3), (2, 3), (3, 3)]
        assert (await client.call_tool("get-sum", {"a": "two", "b": 3})).is_error


SUITE = {
    "name": "everything",
    "environment": "everything",
    "description": "Arithmetic by tools",
    "scenarios": [
        {
            "id": "two-sums",
            "task": "Add 2 and 3 with the tool, then echo the sum, and say it.",
            "setup": [{"tool": "echo", "arguments": {"message": "begin"}}],
            "verifiers": [
                {
                    "verifier_type": "tool_calls",
                    "validation_config": {
                        "order": ["get-sum", "echo"],
                        "arguments": {"get-sum": {"a": 2, "b": 3}, "echo": {"message": "5"}},
                        "maximum_tool_calls": 2,
                    },
                },
                {"verifier_type": "response", "validation_config": {"number": 5}},
            ],
            "max_steps": 4,
            "solution": [
                {"tool": "get-sum", "arguments": {"a": 2, "b": 3}},
                {"tool": "echo", "arguments": {"message": "5"}},
            ],
            "response": "5",
        }
    ],
}

AGENT = '''
class Careless:
    """Does the right calls in the wrong order."""

    async def run(self, task, env):
        await env.call("echo", {"message": "5"})
        await env.call("get-sum", {"a": 2, "b": 3})
        return "5"
'''


def test_its_calls_are_scored(everything: Server, tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text(json.dumps(SUITE))
    (tmp_path / "careless.py").write_text(AGENT)
    agents = ["--agent", "oracle", "--agent", "noop", "--agent", "careless:Careless"]
    done = subprocess.run(
        [sys.executable, "-m", "openenv.cli", "eval", "suite.json", *agents, "--url", everything.url, "--out", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert {agent["agent"]: agent["success"]["passed"] for agent in found["agents"]} == {
        "oracle": 1,
        "noop": 0,
        "Careless": 0,
    }
    assert "do not come in the order" in (tmp_path / "run" / "results.jsonl").read_text()
    wait_for_the_end_of_children(everything)
