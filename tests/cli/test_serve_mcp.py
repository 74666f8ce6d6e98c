"""``openenv serve --mcp`` as an operator starts it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from openenv.client import ToolClient
from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e

SMALL = [sys.executable, str(ROOT / "tests" / "support" / "mcp_server.py")]
RUDE = [sys.executable, str(ROOT / "tests" / "support" / "rude_mcp_server.py")]
SERVE = [sys.executable, "-m", "openenv.cli", "serve", "--host", "127.0.0.1", "--port", "0"]


def started(servers: Servers, target: str, *options: str) -> Server:
    return servers.start([*SERVE, "--mcp", target, *options], env=os.environ)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def processes(log: Path) -> list[int]:
    """The servers that were started, by what they have said."""
    return [int(pid) for pid in re.findall(r"started (\d+)", log.read_text())]


async def test_the_process_ends_with_its_client_also_in_the_middle_of_a_call(serve: Servers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = started(serve, shlex.join([*SMALL, str(log)]), "--name", "small")
    assert "serving small on" in server.log()
    looked = processes(log)
    assert len(looked) == 1
    assert not alive(looked[0]), "the first look is over"
    async with ToolClient[Any, Any, Any](base_url=server.url) as client:
        assert await client.call_tool("add", a=1, b=2) == {"total": 3}
        (running,) = processes(log)[1:]
        assert alive(running)
    await until_gone(running)
    async with connect(f"{server.ws_url}/ws") as socket:
        call = {"type": "call_tool", "tool_name": "count", "arguments": {"to": 600, "pause": 1}}
        await socket.send(json.dumps({"type": "step", "data": call}))
        while "begun" not in log.read_text():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        socket.transport.abort()
    await until_gone(processes(log)[-1])


async def until_gone(pid: int) -> None:
    while alive(pid):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)


async def test_a_url_is_served_too(serve: Servers) -> None:
    upstream = serve.start([*SMALL, "--http"], env=os.environ)
    server = started(serve, f"{upstream.url}/mcp")
    assert "serving small-server on" in server.log()
    async with ToolClient[Any, Any, Any](base_url=server.url) as client:
        assert await client.call_tool("add", a=20, b=22) == {"total": 42}


async def test_a_session_at_the_shutdown_takes_its_process_along(serve: Servers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = started(serve, shlex.join([*SMALL, str(log)]))
    async with ToolClient[Any, Any, Any](base_url=server.url) as client:
        await client.reset()
        server.terminate()
        await asyncio.to_thread(server.wait)
    assert len(processes(log)) == 2
    assert not any(alive(pid) for pid in processes(log))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "serve takes an environment or --mcp"),
        (["echo", "--mcp", "x"], "serve takes an environment or --mcp"),
        (["--mcp", "no-such-program-anywhere"], "'no-such-program-anywhere' cannot be started or reached: No such file"),
        (["--mcp", shlex.join([*RUDE, "early"])], "has ended (exit code 7)"),
        (["--mcp", "'"], "is no command line"),
        (["--mcp", "http://127.0.0.1:9/mcp"], "cannot be reached"),
        (["--mcp", "x", "--mcp-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_what_cannot_work_is_said_at_once(arguments: list[str], said: str) -> None:
    done = subprocess.run([*SERVE, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    if "early" in str(arguments):
        assert "no licence found" in done.stderr, "its last words are in the log"


def test_without_the_extra_it_is_named() -> None:
    code = (
        "import sys; sys.modules['mcp'] = None\n"
        "from openenv import McpServer, McpServerEnvironment\n"
        "from openenv.errors import ConfigurationError\n"
        "class Some(McpServerEnvironment):\n    server = McpServer.of('x')\n"
        "import asyncio\n"
        "try:\n    asyncio.run(Some().reset())\nexcept ConfigurationError as error:\n    sys.exit(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.strip() == 'pip install "openenv[mcp]"'


def test_the_class_alone_loads_no_sdk() -> None:
    code = "import sys\nfrom openenv import McpServerEnvironment\nprint({'mcp', 'httpx2', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "set()"
