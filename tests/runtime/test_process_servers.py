"""Worker processes under real servers: over sockets, killed, drained, and with a whole suite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e

BEAST = "tests.support.process_toys:app"
PATIENT = "tests.support.process_toys:patient_app"


def workers_of(server: Server) -> list[int]:
    """The processes that the server has started and that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == server.pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pids: list[int]) -> None:
    """Wait until none of them is there."""
    while any(is_there(pid) for pid in pids):
        time.sleep(0.01)


def opened(server: Server) -> ClientConnection:
    return connect(f"{server.ws_url}/ws", open_timeout=30)


def step(socket: ClientConnection, what: str, **more: Any) -> dict[str, Any]:
    socket.send(json.dumps({"type": "step", "data": {"what": what, **more}}))
    answer: dict[str, Any] = json.loads(socket.recv(timeout=30))
    return answer


@pytest.mark.parametrize("uvicorn", [False, True], ids=["openenv serve", "uvicorn"])
def test_what_ends_one_world_is_told_on_its_socket_alone(serve: Servers, uvicorn: bool) -> None:
    server = serve(BEAST, uvicorn=uvicorn)
    with opened(server) as other:
        assert step(other, "say")["data"]["observation"]["count"] == 1
        for what, code in [
            ("segfault", "WORKER_CRASHED"),
            ("exit", "WORKER_CRASHED"),
            ("leak", "WORKER_MEMORY"),
            ("spin", "WORKER_TIMEOUT"),
        ]:
            with opened(server) as socket:
                answer = step(socket, what, count=50_000_000)
                assert answer["type"] == "error"
                assert answer["data"]["code"] == code
                with pytest.raises(Exception, match="1000"):
                    socket.recv(timeout=30)
        assert step(other, "say")["data"]["observation"]["count"] == 2


def test_a_refusal_on_a_socket_and_over_http(serve: Servers) -> None:
    server = serve(PATIENT)
    with opened(server) as first, opened(server) as second, opened(server) as third:
        for socket in (first, second, third):
            assert step(socket, "say")["type"] == "observation"
        with opened(server) as fourth:
            refused = json.loads(fourth.recv(timeout=30))
            assert refused["data"]["code"] == "CAPACITY_REACHED"
        answer = httpx.post(f"{server.url}/sessions", timeout=30)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["max_workers"] == 3


def lost_lines(server: Server) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in read if line["event"] == "worker.lost"]


def test_every_lost_worker_is_a_line_of_the_json_log(serve: Servers) -> None:
    server = serve(BEAST)
    for what in ("segfault", "leak", "spin"):
        with opened(server) as socket:
            assert step(socket, what, count=50_000_000)["type"] == "error"
    with opened(server) as socket:
        idle = int(step(socket, "pid")["data"]["observation"]["text"])
        os.kill(idle, signal.SIGKILL)
        with pytest.raises(Exception, match="1000"):
            socket.recv(timeout=30)
    while not (spare := workers_of(server)) or not is_there(spare[0]):
        time.sleep(0.01)
    for pid in spare:
        os.kill(pid, signal.SIGKILL)
    while not any(line["session"] is None for line in lost_lines(server)):
        time.sleep(0.01)
    lines = lost_lines(server)
    sessions = [json.loads(line) for line in server.log().splitlines() if line.startswith('{"') and "session.open" in line]
    assert [line["session"] for line in lines[:4]] == [line["session"] for line in sessions]
    assert {(line["env"], line["level"], line["transport"]) for line in lines[:4]} == {("beast", "error", "websocket")}
    names = ("code", "phase", "signal", "limit", "limit_s", "limit_mb")
    told = [{name: line[name] for name in names if name in line} for line in lines]
    assert told[:4] == [
        {"code": "WORKER_CRASHED", "phase": "held", "signal": "SIGSEGV"},
        {"code": "WORKER_MEMORY", "phase": "held", "limit": "process_memory_mb", "limit_mb": 256},
        {"code": "WORKER_TIMEOUT", "phase": "held", "limit": "hang_limit_s", "limit_s": 3.0},
        {"code": "WORKER_CRASHED", "phase": "held", "signal": "SIGKILL"},
    ]
    assert lines[3]["pid"] == idle
    assert {line["code"] for line in lines[4:]} == {"WORKER_CRASHED"}
    assert {line["pid"] for line in lines[4:]} <= set(spare)
    assert "worker process" not in "\n".join(line for line in server.log().splitlines() if not line.startswith("{"))


def test_workers_do_not_outlive_a_server_that_is_killed(serve: Servers) -> None:
    server = serve(PATIENT)
    with opened(server) as spinning, opened(server) as stopped:
        pids = [int(step(socket, "pid")["data"]["observation"]["text"]) for socket in (spinning, stopped)]
        spinning.send(json.dumps({"type": "step", "data": {"what": "spin"}}))
        os.kill(pids[1], signal.SIGSTOP)
        everyone = workers_of(server)
        assert set(pids) <= set(everyone)
        server.kill()
        gone(everyone)


def test_a_server_that_drains_ends_its_workers(serve: Servers, tmp_path: Path) -> None:
    server = serve(PATIENT)
    with opened(server) as socket:
        step(socket, "say")
        socket.send(json.dumps({"type": "step", "data": {"what": "hold", "text": str(tmp_path / "gate")}}))
        while not httpx.get(f"{server.url}/sessions", timeout=30).json()["sessions"][0]["busy"]:
            time.sleep(0.01)
        everyone = workers_of(server)
        server.terminate()
        while httpx.post(f"{server.url}/step", json={"action": {"what": "say"}}, timeout=30).status_code != 503:
            time.sleep(0.01)
        (tmp_path / "gate").touch()
        assert json.loads(socket.recv(timeout=30))["type"] == "observation"
        server.wait()
    gone(everyone)


def test_the_calendars_suite_from_worker_processes(serve: Servers, tmp_path: Path) -> None:
    server = serve("tests.support.process_pairs:far_calendar")
    command = [sys.executable, "-m", "openenv.cli", "eval", "calendar", "--agent", "oracle", "--agent", "noop"]
    command += ["--url", server.url, "--parallel", "4", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    trials = [line for line in lines if "scenario" in line and "agent" in line]
    assert len(trials) >= 60
    assert {line["passed"] for line in trials if line["agent"] == "oracle"} == {True}
    assert {line["passed"] for line in trials if line["agent"] == "noop"} == {False}
