"""Servers of several workers: limits are the server's, tokens are valid everywhere, log lines stay whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.processes import ROOT, Server, Servers
from tests.support.worker_toys import Lines, home, until, worker_pids

pytestmark = pytest.mark.e2e

TOYS = "tests.support.worker_toys"
GRADER, WATCHER = "token-of-the-grader-1", "token-of-the-watcher-2"


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.close()


@pytest.fixture(scope="module")
def guarded(module_serve: Servers, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Asks for known tokens; what it mints is signed with a secret that nobody gave it."""
    file = tmp_path_factory.mktemp("tokens") / "tokens.json"
    known = {
        GRADER: {"id": "grader", "scopes": ["create", "reset", "act", "grade"]},
        WATCHER: {"id": "watcher", "scopes": ["metrics"]},
    }
    file.write_text(json.dumps(known))
    return module_serve(f"{TOYS}:quick_app", "--workers", "2", "--tokens", str(file), cwd=ROOT)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def open_session(server: Server) -> tuple[ClientConnection, dict[str, Any]]:
    """A socket and the first thing that it was told."""
    socket = await connect(f"{server.ws_url}/ws")
    with contextlib.suppress(ConnectionClosed):  # what was said before the close can be read all the same
        await socket.send(json.dumps({"type": "state"}))
    return socket, json.loads(await socket.recv())


async def test_there_are_never_more_sessions_than_the_server_may_have(serve: Servers, lines: Lines) -> None:
    server = serve(f"{TOYS}:talker_app", "--workers", "2", cwd=ROOT)
    for worker in (0, 1):  # one on each; where the others go is the kernel's choice
        assert lines(server, worker).ask("POST", "/sessions")[0] == 201
    opened = await asyncio.gather(*(open_session(server) for _ in range(20)))
    told = [answer["data"] for _, answer in opened if answer["type"] == "error"]
    assert len(told) == 16
    for error in told:
        assert (error["code"], error["max_sessions"]) == ("CAPACITY_REACHED", 6), error
    _, answer, _ = lines(server, 0).ask("GET", "/sessions")
    assert {home(one["session_id"]) for one in answer["sessions"]} == {0, 1}
    for worker in (0, 1):
        status, answer, _ = lines(server, worker).ask("POST", "/sessions")
        error = answer["error"]
        assert (status, error["active_sessions"], error["max_sessions"]) == (503, 6, 6)
    for socket, _ in opened:
        await socket.close()
    socket, answer = await open_session(server)
    assert answer["type"] == "state"
    await socket.close()


async def test_a_class_with_one_session_has_one(serve: Servers) -> None:
    server = serve(f"{TOYS}:single_app", "--workers", "2", cwd=ROOT)
    for _ in range(3):
        opened = await asyncio.gather(*(open_session(server) for _ in range(8)))
        assert sorted(answer["type"] for _, answer in opened) == ["error"] * 7 + ["state"]
        for socket, _ in opened:
            await socket.close()


async def test_a_place_that_another_worker_gives_up_is_waited_for(serve: Servers, lines: Lines, tmp_path: Path) -> None:
    server = serve(f"{TOYS}:slow_to_close_app", "--workers", "2", cwd=ROOT)
    for number, worker in enumerate((0, 1, 1, 0)):
        line, other_line = lines(server, worker), lines(server, 1 - worker)
        status, answer, _ = line.ask("POST", f"/sessions?closing={tmp_path / str(number)}")
        assert status == 201, answer
        async with httpx.AsyncClient(timeout=15) as client:  # its close takes a moment, and is not waited for here
            deleting = asyncio.create_task(client.delete(f"{server.url}/sessions/{answer['session_id']}"))
            await asyncio.to_thread(until, (tmp_path / str(number)).exists)
            status, other, _ = await asyncio.to_thread(other_line.ask, "POST", "/sessions")
            assert status == 201, other
            await deleting
            await client.delete(f"{server.url}/sessions/{other['session_id']}")


@pytest.mark.parametrize("owner", [0, 1])
def test_a_token_that_one_worker_has_minted_is_good_on_all(guarded: Server, lines: Lines, owner: int) -> None:
    session = ""
    while not session or home(session) != owner:
        _, answer, _ = lines(guarded, owner).ask("POST", "/sessions", None, bearer(GRADER))
        session = answer["session_id"]
    status, minted, worker = lines(guarded, 1 - owner).ask("POST", f"/sessions/{session}/tokens", None, bearer(GRADER))
    assert (status, worker) == (201, str(owner))
    agent = bearer(minted["token"])
    for taker in (0, 1):
        step = {"action": {"text": "a"}}
        status, answer, _ = lines(guarded, taker).ask("POST", "/step", step, {"X-Session-ID": session, **agent})
        assert status == 200, answer
        status, _, worker = lines(guarded, taker).ask("GET", "/list_environments", None, agent)
        assert (status, worker) == (200, str(taker))  # read by that worker itself
        assert lines(guarded, taker).ask("POST", "/sessions", None, agent)[0] == 403
        assert lines(guarded, taker).ask("GET", f"/sessions/{session}", None, bearer(WATCHER))[0] == 403


def test_nobody_comes_in_by_any_worker(guarded: Server, lines: Lines) -> None:
    _, answer, _ = lines(guarded, 0).ask("POST", "/sessions", None, bearer(GRADER))
    session = answer["session_id"]
    for taker in (0, 1):
        for method, path in (("GET", f"/sessions/{session}"), ("DELETE", f"/sessions/{session}"), ("GET", "/sessions")):
            assert lines(guarded, taker).ask(method, path)[0] == 401
            assert lines(guarded, taker).ask(method, path, None, bearer(WATCHER))[0] == 403
        assert lines(guarded, taker).ask("GET", "/metrics")[0] == 401


def test_a_rate_is_the_servers(serve: Servers, lines: Lines) -> None:
    server = serve(f"{TOYS}:quick_app", "--workers", "2", "--rate", "0.001", "--burst", "6", cwd=ROOT)
    codes = [lines(server, number % 2).ask("POST", "/reset")[0] for number in range(8)]
    assert codes == [200] * 6 + [429] * 2


def test_guesses_are_limited_whichever_worker_they_try(module_serve: Servers, guarded: Server, lines: Lines) -> None:
    server = module_serve(
        f"{TOYS}:quick_app", "--workers", "2", "--rate", "1000", "--jwt-secret-env", "SECRET",
        cwd=ROOT, env={"SECRET": "s" * 32},
    )  # fmt: skip
    doors = [lines(server, worker) for worker in (0, 1)]
    answers = [doors[number % 2].ask("GET", "/sessions", None, bearer("guess")) for number in range(80)]
    assert [worker for _, _, worker in answers[:2]] == ["0", "1"]
    codes = [code for code, _, _ in answers]
    assert codes[:20] == [401] * 20
    assert 429 in codes[20:]


async def test_log_lines_of_all_workers_are_whole(serve: Servers) -> None:
    """Through one pipe, as a container engine reads it; the longest that anybody can bring about too."""
    server = serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)
    long = "\\u0000😀" * 60
    async with httpx.AsyncClient(base_url=server.url, timeout=30, limits=httpx.Limits(max_connections=20)) as client:

        async def one(number: int) -> None:
            made = (await client.post("/sessions", headers={"X-Request-ID": f"r{number}" + "x" * 120})).json()
            rpc = {"jsonrpc": "2.0", "id": long, "method": "tools/call", "params": {"name": "x", "session_id": long}}
            await client.post("/mcp", json=rpc)
            await client.delete(f"/sessions/{made['session_id']}")

        await asyncio.gather(*(one(number) for number in range(60)))
    written = [line for line in server.log().splitlines() if not line.startswith("serving")]
    read = [json.loads(line) for line in written]
    assert {line["worker"] for line in read} == {0, 1}
    assert max(map(len, written)) <= 4096
    assert sum(line["event"] == "session.open" for line in read) == 60
    assert all(line["worker"] == home(line["session"]) for line in read if line["event"].startswith("session."))


def test_workers_have_no_name_that_others_could_call_them_by(guarded: Server) -> None:
    """Their channels are pairs of sockets without a path, and no secret is among what `ps` and /proc show."""
    for pid in worker_pids(guarded):
        inodes = set()
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # a connection of an earlier test is closed meanwhile
                if match := re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink())):
                    inodes.add(match[1])
        unix = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
        mine = [line for line in unix if line[6] in inodes]
        assert len(mine) >= 2
        assert all(len(line) == 7 for line in mine), mine  # an eighth field would be a path
        environment = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"secret" not in environment.lower()
