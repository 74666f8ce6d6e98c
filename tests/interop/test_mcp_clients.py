"""The official SDK's clients (lines 1 and 2) and fastmcp's (3 and 4) at a server of ours: they all see the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.support.processes import ROOT, Server, Servers

SCRIPTS = Path(__file__).parent / "scripts"
NAMES = ["add", "break_down", "clear", "grow", "look", "nap", "picture", "place", "refuse", "say", "slow", "was_taken_back"]
REFUSED = {
    "message": "not on a Monday",
    "code": "MONDAY",
    "field": "day",
    "hint": "Come tomorrow.",
    "example": {"day": "Tuesday"},
}
LOG = [["info", {"line": 1}], ["error", {"line": 2}]]
PROGRESS = [[1.0, 2.0, "info"], [2.0, 2.0, "error"]]


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("tests.support.mcp_toys:changing_app", cwd=ROOT)


def transcript(python: Path | str, script: str, *arguments: str) -> dict[str, Any]:
    """What a client saw."""
    command = [str(python), "-W", "ignore", str(SCRIPTS / f"{script}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def session_url(server: Server) -> str:
    """The URL for clients of the revision without a handshake."""
    return f"{server.url}/sessions/{httpx.post(f'{server.url}/sessions').json()['session_id']}/mcp"


async def calculated(client: Client) -> list[Any]:
    """A few calls of the toy that is written against OpenEnv 0.10."""
    names = [tool.name for tool in (await client.list_tools()).tools]
    calls: list[tuple[str, dict[str, Any]]] = [("add", {"a": 1, "b": 2}), ("keep", {"a": 4}), ("keep", {"a": 4}), ("fail", {})]
    answers = [await client.call_tool(name, arguments) for name, arguments in calls]
    texts = [getattr(answer.content[0], "text", "") for answer in answers]
    return [sorted(names)[:3], texts[:3], [answer.is_error for answer in answers], "tool boom" in texts[3]]


CALCULATED = [["add", "fail", "keep"], ["3", '{"total":4}', '{"total":8}'], [False, False, False, True], True]


async def test_a_server_of_openenv_010_over_a_pipe(mounted: Callable[..., Server]) -> None:
    server = mounted({"calculator": "toys.tooled:calculator"}, reference=True)
    command = ["-m", "openenv.cli", "mcp", f"{server.url}/calculator", "--stdio"]
    async with Client(stdio_client(StdioServerParameters(command=sys.executable, args=command))) as client:
        assert await calculated(client) == CALCULATED


async def test_an_environment_written_for_openenv_010(mounted: Callable[..., Server]) -> None:
    server = mounted({"calculator": "toys.tooled:calculator"}, reference=False)
    async with Client(f"{server.url}/calculator/mcp", mode="legacy") as client:
        assert await calculated(client) == CALCULATED


def check(seen: dict[str, Any], *, log: bool = True, changed: bool = True) -> None:
    """The transcript of the SDK's clients, whichever line they are of."""
    assert seen["names"] == NAMES
    assert seen["look"]["annotations"] == {"readOnlyHint": True}
    assert seen["look"]["outputSchema"]["properties"] == {"result": {"type": "integer"}}
    assert seen["added"]["content"][0]["text"] == '{"count":2}'
    assert seen["looked"]["structuredContent"] == {"result": 2}
    assert seen["placed"]["structuredContent"] == {"row": 2, "column": 0}
    assert [block["type"] for block in seen["pictured"]["content"]] == ["text", "image"]
    assert (seen["refused"]["isError"], seen["refused"]["structuredContent"]) == (True, REFUSED)
    assert (seen["wrong"]["isError"], seen["wrong"]["structuredContent"]["code"]) == (True, "INVALID_ARGUMENTS")
    assert (seen["unknown"]["code"], seen["unknown"]["message"]) == (-32602, "Unknown tool: 'ad'")
    assert seen["said"]["content"][0]["text"] == "said"
    assert seen["log"] == (LOG if log else [])
    if changed:
        assert seen["after"] == sorted([*NAMES, "tool_0"])


@pytest.mark.parametrize("line", [1, 2])
def test_the_sdks_clients(server: Server, reference_python: Path, line: int) -> None:
    python = reference_python if line == 1 else sys.executable
    seen = transcript(python, "mcp_sdk_transcript", "session", f"{server.url}/mcp")
    check(seen)
    assert seen["progress"] == PROGRESS
    assert seen.get("taken back") == ("true" if line == 2 else None)
    meta = seen["added"]["_meta"]
    assert meta["openenv/reward"] == 0.5
    with httpx.Client(base_url=server.url) as http:
        # The client closed its session when it left.
        assert http.get(f"/sessions/{meta['openenv/session']}").status_code == 404


def test_the_sdks_client_in_the_newest_revision(server: Server) -> None:
    seen = transcript(sys.executable, "mcp_sdk_transcript", "auto", session_url(server))
    # In this revision nothing is logged unless it is asked for.
    check(seen, log=False)
    assert (seen["progress"], seen["taken back"]) == (PROGRESS, "true")


@pytest.mark.parametrize("line", [3, 4])
def test_fastmcps_clients(server: Server, reference_python: Path, line: int) -> None:
    if line == 3:
        seen = transcript(reference_python, "mcp_fastmcp_transcript", f"{server.url}/mcp")
        assert seen["log"] == LOG
    else:
        seen = transcript(sys.executable, "mcp_fastmcp_transcript", session_url(server))
    assert seen["names"] == NAMES
    assert seen["added"] == ['{"count":2}']
    assert (seen["looked"], seen["placed"]) == (2, {"row": 2, "column": 0})
    assert seen["refused"] == [True, REFUSED]
    assert seen["raised"] == REFUSED
    assert seen["progress"] == PROGRESS


@pytest.mark.parametrize("line", [1, 2])
def test_the_sdks_clients_over_a_pipe(reference_python: Path, line: int) -> None:
    python, mode = (reference_python, "session") if line == 1 else (sys.executable, "auto")
    # Its environment prints, which must not reach the wire.
    command = [sys.executable, "-m", "openenv.cli", "mcp", "tests.support.mcp_toys:loud_app", "--stdio"]
    seen = transcript(python, "mcp_sdk_transcript", mode, *command)
    names = [name for name in NAMES if name != "grow"]
    assert seen["names"] == names
    check(seen | {"names": NAMES}, log=line == 1, changed=False)


@pytest.mark.parametrize("line", [3, 4])
def test_fastmcps_clients_over_a_pipe(reference_python: Path, line: int) -> None:
    python = reference_python if line == 3 else sys.executable
    command = [sys.executable, "-m", "openenv.cli", "mcp", "tests.support.mcp_toys:loud_app", "--stdio"]
    seen = transcript(python, "mcp_fastmcp_transcript", *command)
    assert (seen["added"], seen["looked"], seen["refused"]) == (['{"count":2}'], 2, [True, REFUSED])
