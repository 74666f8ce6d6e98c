"""The inspector's command line at a server of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.node import NodeTools, node_tools
from tests.support.processes import ROOT, Server, Servers

INSPECTOR = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@pytest.fixture(scope="module")
def tools() -> NodeTools:
    return node_tools()


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.mcp_toys:bench_app", cwd=ROOT)


def inspect(tools: NodeTools, server: Server, *arguments: str) -> tuple[int, Any]:
    """The exit code, and what it printed."""
    done = tools.run("inspector", INSPECTOR, "--cli", f"{server.url}/mcp", "--transport", "http", "--method", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.timeout(600)
def test_the_inspector_lists_the_tools(tools: NodeTools, server: Server) -> None:
    code, answer = inspect(tools, server, "tools/list")
    assert code == 0
    look = next(tool for tool in answer["tools"] if tool["name"] == "look")
    assert (look["title"], look["annotations"]) == ("Look at the count", {"readOnlyHint": True})


@pytest.mark.timeout(600)
def test_the_inspector_calls_a_tool(tools: NodeTools, server: Server) -> None:
    code, answer = inspect(tools, server, "tools/call", "--tool-name", "add", "--tool-arg", "by=3")
    assert (code, answer["content"][0]["text"], answer["_meta"]["openenv/reward"]) == (0, '{"count":3}', 0.5)


@pytest.mark.timeout(600)
def test_the_inspector_tells_a_tools_error_from_the_rest(tools: NodeTools, server: Server) -> None:
    code, answer = inspect(tools, server, "tools/call", "--tool-name", "refuse")
    assert code != 0
    assert (answer["isError"], answer["structuredContent"]["code"]) == (True, "MONDAY")
