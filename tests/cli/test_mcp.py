"""``openenv mcp``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import ROOT, Server, Servers

TOYS = "tests.support.mcp_toys"


class Pipe:
    """A process that speaks MCP over its standard input and output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._ids = 0

    def ask(self, method: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Send a request; the notifications that come before its answer, and the answer."""
        self._ids += 1
        self.send({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params or {}})
        messages = [self.receive()]
        while "id" not in messages[-1]:
            messages.append(self.receive())
        return messages

    def initialize(self) -> dict[str, Any]:
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "pipe", "version": "1"}}
        answer = self.ask("initialize", client)[-1]
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer["result"]  # type: ignore[no-any-return]

    def call(self, name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.ask("tools/call", {"name": name, "arguments": arguments or {}})[-1]
        return answer["result"] if "result" in answer else answer["error"]  # type: ignore[no-any-return]

    def send(self, message: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        return json.loads(line)  # type: ignore[no-any-return]


@contextmanager
def piped(*arguments: str, **env: str) -> Iterator[Pipe]:
    command = [sys.executable, "-m", "openenv.cli", "mcp", *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
    )
    try:
        yield Pipe(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:bench_app", cwd=ROOT)


def test_one_session_for_the_life_of_the_process(tmp_path: Path) -> None:
    with piped(f"{TOYS}:loud_app", "--stdio") as pipe:
        assert pipe.initialize()["serverInfo"]["name"] == "loud"
        sessions = set()
        for expected in (2, 4):
            result = pipe.call("add", {"by": 2})
            assert result["content"][0]["text"] == f'{{"count":{expected}}}'
            sessions.add(result["_meta"]["openenv/session"])
        assert len(sessions) == 1
        output, log = pipe.process.communicate(timeout=50)
        assert (pipe.process.returncode, output) == (0, "")
        assert "an environment prints" in log
        assert '"event": "session.close"' in log


def test_a_signal_ends_it_properly() -> None:
    with piped(f"{TOYS}:bench_app", "--stdio") as pipe:
        pipe.initialize()
        pipe.call("add", {"by": 2})
        pipe.process.send_signal(signal.SIGTERM)
        assert pipe.process.stderr is not None
        assert any('"event": "session.close"' in line for line in pipe.process.stderr)


def test_the_context_is_given_with_headers() -> None:
    with piped(f"{TOYS}:named_app", "--stdio", "-H", "x-user: anna", "-H", "x-notebook: pipe") as pipe:
        pipe.initialize()
        assert pipe.call("notes_add", {"text": "call"})["content"][0]["text"] == '{"id":2}'
        notes = json.loads(pipe.call("notes_list")["content"][0]["text"])
        assert [note["author"] for note in notes] == ["seed", "anna"]


def test_changed_tools_are_announced() -> None:
    with piped(f"{TOYS}:growing_app", "--stdio") as pipe:
        pipe.initialize()
        before = len(pipe.ask("tools/list")[-1]["result"]["tools"])
        messages = pipe.ask("tools/call", {"name": "grow", "arguments": {}})
        if len(messages) == 1:
            messages.append(pipe.receive())
        assert "notifications/tools/list_changed" in [message.get("method") for message in messages]
        assert len(pipe.ask("tools/list")[-1]["result"]["tools"]) == before + 1


def test_a_running_server_is_played_in_a_session_of_its_own(server: Server) -> None:
    with piped(server.url, "--stdio") as pipe:
        assert pipe.initialize()["serverInfo"]["name"] == server.url.removeprefix("http://")
        listed = {tool["name"]: tool for tool in pipe.ask("tools/list")[-1]["result"]["tools"]}
        assert listed["look"]["annotations"] == {"readOnlyHint": True}
        assert listed["look"]["title"] == "Look at the count"
        pipe.call("add", {"by": 2})
        assert pipe.call("add", {"by": 2})["content"][0]["text"] == '{"count":4}'
        assert pipe.call("look")["structuredContent"] == {"result": 4}
        assert [block["type"] for block in pipe.call("picture")["content"]] == ["text", "image"]
        refused = pipe.call("refuse")
        assert (refused["isError"], refused["structuredContent"]["code"]) == (True, "MONDAY")
        assert pipe.call("ad")["data"]["code"] == "TOOL_NOT_FOUND"
        kinds = [session["kind"] for session in httpx.get(f"{server.url}/sessions").json()["sessions"]]
        assert kinds == ["socket"]
        pipe.process.communicate(timeout=50)
        assert pipe.process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((f"{TOYS}:bench_app",), 2, "say --stdio"),
        (("no-such-environment", "--stdio"), 2, "no environment is called"),
        (("http://127.0.0.1:9", "--stdio"), 3, "CONNECTION_FAILED"),
    ],
)
def test_what_cannot_be_served_is_told_on_standard_error(arguments: tuple[str, ...], code: int, said: str) -> None:
    with piped(*arguments) as pipe:
        output, log = pipe.process.communicate(timeout=50)
        assert (pipe.process.returncode, output) == (code, "")
        assert said in log


def test_without_the_sdk_it_names_the_extra(tmp_path: Path) -> None:
    for name in ("mcp", "mcp_types"):
        (tmp_path / f"{name}.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')\n")
    with piped(f"{TOYS}:bench_app", "--stdio", PYTHONPATH=str(tmp_path)) as pipe:
        _, log = pipe.process.communicate(timeout=50)
        assert pipe.process.returncode == 2
        assert 'pip install "openenv[mcp]"' in log
