"""Clients that vanish and servers that are told to stop, with real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.processes import ROOT, Servers

pytestmark = pytest.mark.e2e

TOYS = "tests.support.toys"


async def ask(socket: ClientConnection, message: dict[str, Any]) -> dict[str, Any]:
    await socket.send(json.dumps(message))
    answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


def step(text: str, seconds: float = 0.0) -> dict[str, Any]:
    return {"type": "step", "data": {"text": text, "seconds": seconds}}


async def until(condition: Any, patience_s: float = 30.0) -> None:
    """Wait until a condition holds; a coroutine function's or a plain one's."""
    deadline = time.monotonic() + patience_s
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "it did not come to hold"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("uvicorn", [False, True])
async def test_a_client_killed_in_the_middle_of_a_step_leaves_nothing_behind(
    serve: Servers, tmp_path: Path, uvicorn: bool
) -> None:
    server = serve(f"{TOYS}:file_app", cwd=ROOT, uvicorn=uvicorn)
    log = tmp_path / "world.log"
    socket = await connect(f"{server.ws_url}/ws?log={log}")
    await ask(socket, {"type": "reset"})
    await socket.send(json.dumps(step("slow", 0.5)))
    await until(lambda: log.exists() and "step slow" in log.read_text())
    socket.transport.abort()

    async def free() -> bool:
        async with httpx.AsyncClient() as http:
            return 'openenv_active_sessions{env="files"} 0.0' in (await http.get(f"{server.url}/metrics")).text

    await until(free)
    await until(lambda: "close" in log.read_text())
    assert log.read_text() == "step slow\nclose\n"


async def test_sigterm_under_load_answers_every_step_that_had_begun(serve: Servers, tmp_path: Path) -> None:
    server = serve(f"{TOYS}:file_app", cwd=ROOT)
    logs = [tmp_path / f"{number}.log" for number in range(12)]
    answered = [0] * len(logs)
    refused: list[str] = []

    async def client(number: int) -> None:
        async with connect(f"{server.ws_url}/ws?log={logs[number]}") as socket:
            try:
                while True:
                    answer = await ask(socket, step(f"{number}", 0.05))
                    if answer["type"] == "error":
                        refused.append(answer["data"]["code"])
                        return
                    answered[number] += 1
            except ConnectionClosed:
                return

    async with httpx.AsyncClient(base_url=server.url) as http:
        free = tmp_path / "free.log"
        made = (await http.post("/sessions", params={"log": str(free)})).json()["session_id"]
        await http.post("/step", json={"action": {"text": "x"}}, headers={"X-Session-ID": made})
        clients = [asyncio.create_task(client(number)) for number in range(len(logs))]
        await until(lambda: min(answered) >= 2)
        server.terminate()
        await asyncio.gather(*clients)
    await asyncio.to_thread(server.wait)
    for number, log in enumerate(logs):
        lines = log.read_text().splitlines()
        assert lines.count(f"step {number}") == answered[number], number
        assert lines[-1] == "close"
        assert lines.count("close") == 1
    assert free.read_text().splitlines() == ["step x", "close"]
    assert set(refused) <= {"SHUTTING_DOWN"}


async def test_sigterm_under_plain_uvicorn_closes_every_world(serve: Servers, tmp_path: Path) -> None:
    server = serve(f"{TOYS}:file_app", cwd=ROOT, uvicorn=True)
    logs = [tmp_path / "socket.log", tmp_path / "free.log"]
    async with connect(f"{server.ws_url}/ws?log={logs[0]}") as socket, httpx.AsyncClient(base_url=server.url) as http:
        await ask(socket, step("x"))
        made = (await http.post("/sessions", params={"log": str(logs[1])})).json()["session_id"]
        await http.post("/step", json={"action": {"text": "x"}}, headers={"X-Session-ID": made})
        server.terminate()
        await asyncio.to_thread(server.wait)
    assert [log.read_text() for log in logs] == ["step x\nclose\n"] * 2


async def test_a_second_signal_does_not_wait(serve: Servers, tmp_path: Path) -> None:
    server = serve(f"{TOYS}:file_app", cwd=ROOT)
    async with connect(f"{server.ws_url}/ws?log={tmp_path / 'x.log'}") as socket:
        await socket.send(json.dumps(step("slow", 15)))
        await until(lambda: (tmp_path / "x.log").exists())
        server.process.send_signal(signal.SIGINT)

        async def drains() -> bool:
            async with httpx.AsyncClient(base_url=server.url, timeout=15) as http:
                return (await http.post("/sessions")).status_code == 503

        await until(drains)  # two signals that it has not heard yet are one
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_a_hung_step_fails_with_a_typed_error_and_its_socket_closes(serve: Servers) -> None:
    server = serve(f"{TOYS}:hanging_app", cwd=ROOT)
    async with connect(f"{server.ws_url}/ws") as socket, connect(f"{server.ws_url}/ws") as other:
        answer = await ask(socket, step("x", 2))
        assert answer["data"]["code"] == "LANE_LOST"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert (await ask(other, step("x")))["type"] == "observation"


async def test_a_hundred_named_worlds_at_once_and_ten_sessions_on_one(serve: Servers) -> None:
    server = serve(f"{TOYS}:notes_app", cwd=ROOT)

    async def write(world: str, note: str) -> list[str]:
        headers = {"x-notebook": world, "x-user": "anna"}
        async with connect(f"{server.ws_url}/ws", additional_headers=headers) as socket:
            call = {"type": "call_tool", "tool_name": "notes_add", "arguments": {"text": note}}
            assert (await ask(socket, {"type": "step", "data": call}))["data"]["observation"]["error"] is None
            written.append(note)
            if len(written) == 110:
                ready.set()
            await ready.wait()
            listed = await ask(socket, {"type": "step", "data": {"type": "call_tool", "tool_name": "notes_list"}})
            return [one["text"] for one in listed["data"]["observation"]["result"]]

    ready, written = asyncio.Event(), list[str]()
    alone = [asyncio.create_task(write(f"w{number}", f"note {number}")) for number in range(100)]
    together = [asyncio.create_task(write("shared", f"note {number}")) for number in range(10)]
    for number, seen in enumerate(await asyncio.gather(*alone)):
        assert seen == ["buy milk", f"note {number}"]
    for seen in await asyncio.gather(*together):
        assert sorted(seen) == sorted(["buy milk", *(f"note {number}" for number in range(10))])
