"""A server that is told to stop ends, whatever hangs in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e

APPS = "tests.support.hanging"
STEP = {"type": "step", "data": {}}


async def hung(server: Server, notes: Path, *, stateless: bool) -> asyncio.Task[None]:
    """Ask for what hangs; return, when it does, the task that waits for the answer."""

    async def ask() -> None:
        with contextlib.suppress(Exception):
            if stateless:
                async with httpx.AsyncClient(base_url=server.url, timeout=None) as http:
                    await http.post("/step", json={"action": {}})
                return
            async with connect(f"{server.ws_url}/ws") as socket:
                await socket.send(json.dumps(STEP))
                await socket.wait_closed()

    task = asyncio.create_task(ask())
    while not told(notes, "hangs"):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)
    return task


def told(notes: Path, what: str) -> int:
    """How often the environments noted something."""
    return notes.read_text().split().count(what)


async def ends(server: Server, sig: int = signal.SIGTERM) -> int:
    server.process.send_signal(sig)
    try:
        return await asyncio.to_thread(server.wait, 40)
    except subprocess.TimeoutExpired:
        server.kill()
        pytest.fail(f"the server did not end:\n{server.log()}")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.touch()
    return path


@pytest.mark.parametrize(
    "app", ["steps stateless", "makes", "makes stateless", "half", "deaf", "deaf stateless", "blocks", "closes"]
)
async def test_a_server_ends_whatever_hangs_in_it(serve: Servers, notes: Path, app: str) -> None:
    name, _, how = app.partition(" ")
    server = serve(f"{APPS}:{name}", "--drain", "1", cwd=ROOT, env={"HANGING_NOTES": str(notes)})
    waiting = await hung(server, notes, stateless=bool(how))
    await ends(server)
    await waiting
    log = server.log()
    assert "given up" in log or "ended without its shutdown" in log


@pytest.mark.parametrize("app", ["steps", "half"])
async def test_it_ends_after_an_interrupt_too(serve: Servers, notes: Path, app: str) -> None:
    server = serve(f"{APPS}:{app}", "--drain", "1", cwd=ROOT, env={"HANGING_NOTES": str(notes)})
    waiting = await hung(server, notes, stateless=True)
    await ends(server, signal.SIGINT)
    await waiting
    assert "ended without its shutdown" not in server.log(), "no thread of ours holds the process up"


async def test_what_does_not_hang_is_closed_all_the_same(serve: Servers, notes: Path) -> None:
    server = serve(f"{APPS}:steps", "--drain", "1", cwd=ROOT, env={"HANGING_NOTES": str(notes)})
    async with httpx.AsyncClient(base_url=server.url) as http, connect(f"{server.ws_url}/ws") as socket:
        await socket.send(json.dumps({"type": "step", "data": {"hang": False}}))
        await socket.recv()
        free = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create", "params": {}}
        assert "result" in (await http.post("/mcp", json=free)).json()
        waiting = await hung(server, notes, stateless=True)
        await ends(server)
        await waiting
    assert told(notes, "closed") == 2


@pytest.mark.parametrize("app", ["steps", "half"])
async def test_hanging_requests_without_a_session_are_in_no_sessions_way(serve: Servers, notes: Path, app: str) -> None:
    server = serve(f"{APPS}:{app}", "--drain", "0", cwd=ROOT, env={"HANGING_NOTES": str(notes)})
    waiting = [await hung(server, notes, stateless=True) for _ in range(40)]
    while told(notes, "hangs") < 32:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)
    async with connect(f"{server.ws_url}/ws") as socket:
        await socket.send(json.dumps({"type": "reset", "data": {}}))
        assert json.loads(await socket.recv())["type"] == "observation"
    assert told(notes, "made") == 33
    await ends(server)
    await asyncio.gather(*waiting)


PROGRAM = """
import signal, sys, time
from openenv.server import serve
from tests.support.toys import file_app
signal.signal(signal.SIGTERM, lambda *_: None)
serve(file_app, port=0, drain_s=0)
time.sleep(8)
sys.exit(7)
"""


async def test_a_program_that_goes_on_after_serving_is_not_ended(serve: Servers) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = serve.start([sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT)
    assert await ends(server) == 7
    assert "given up" not in server.log()
