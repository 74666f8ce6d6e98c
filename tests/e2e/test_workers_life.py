"""Servers of several workers as they start, lose a worker, are told to stop, and are killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.processes import ROOT, Server, Servers, free_port
from tests.support.worker_toys import Lines, home, until, worker_pids

pytestmark = pytest.mark.e2e

TOYS = "tests.support.worker_toys"


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines()
    yield made
    made.close()


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openenv.cli", "serve", *arguments, "--workers", "2"]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, check=False, **more)


def state_of(pid: int) -> str | None:
    """A letter, as the kernel tells it; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid: int) -> bool:
    return state_of(pid) not in (None, "Z")


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False


def session_on(server: Server, worker: int, **query: str) -> str:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(50):
            session: str = client.post("/sessions", params=query).json()["session_id"]
            if home(session) == worker:
                return session
    raise AssertionError(f"worker {worker} gets no session")


def listed(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{server.url}/sessions").json()["sessions"]
    return found


def counted(server: Server) -> dict[str, float]:
    """The samples that have to do with steps, and who answered."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text):
        for sample in family.samples:
            if sample.name == "openenv_steps_total" and sample.labels["status"] == "success":
                found["steps"] = sample.value
            elif sample.name == "openenv_active_sessions":
                found["sessions"] = sample.value
            elif sample.name == "openenv_worker_up":
                found[f"worker {sample.labels['worker']}"] = sample.value
    return found


def steps(server: Server, session: str, number: int) -> None:
    with httpx.Client(base_url=server.url, headers={"X-Session-ID": session}) as client:
        for _ in range(number):
            assert client.post("/step", json={"action": {"text": "a"}}).status_code == 200


async def begun(*logs: Path) -> None:
    """Wait until the worlds that write these files are in the middle of a step."""
    await asyncio.to_thread(until, lambda: all(log.exists() and "step slow" in log.read_text() for log in logs))


def drains(server: Server) -> bool:
    """Whether it has heard a signal: it makes no sessions any more, or takes no connections."""
    try:
        return httpx.post(f"{server.url}/sessions").status_code == 503
    except httpx.TransportError:
        return True


async def ask(socket: ClientConnection, message: dict[str, Any]) -> dict[str, Any]:
    await socket.send(json.dumps(message))
    answer: dict[str, Any] = json.loads(await socket.recv())
    return answer


def test_it_says_once_where_it_is(serve: Servers) -> None:
    server = serve(f"{TOYS}:quick_app", "--workers", "3", cwd=ROOT)
    said = r"^serving quick on http://127\.0\.0\.1:\d+, with 3 workers, .*all scopes"
    assert len(re.findall(said, server.log(), re.MULTILINE)) == 1
    assert len(worker_pids(server)) == 3


def test_sums_are_the_servers_whoever_is_asked(serve: Servers, lines: Lines) -> None:
    server = serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)
    for worker, number in ((0, 3), (1, 5)):
        steps(server, session_on(server, worker), number)
    sessions = listed(server)
    for worker in (0, 1):
        _, text, asked = lines(server, worker).ask("GET", "/metrics")
        assert asked == str(worker)
        assert b'openenv_steps_total{env="quick",status="success"} 8.0' in text
        assert b'openenv_active_sessions{env="quick"} %.1f' % len(sessions) in text
        assert b'openenv_step_duration_seconds_count{env="quick"} 8.0' in text
        assert b'openenv_worker_up{env="quick",worker="1"} 1.0' in text


async def test_running_steps_of_all_workers_end_before_the_server_does(serve: Servers, tmp_path: Path) -> None:
    server = serve(f"{TOYS}:file_app", "--workers", "2", cwd=ROOT)
    pids = worker_pids(server)
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    sockets = [await connect(f"{server.ws_url}/ws?log={log}") for log in logs]
    for each in sockets:
        await ask(each, {"type": "reset"})
    assert {home(one["session_id"]) for one in listed(server)} == {0, 1}
    asked = [asyncio.create_task(ask(each, {"type": "step", "data": {"text": "slow", "seconds": 1.0}})) for each in sockets]
    await begun(*logs)
    server.terminate()
    for answer in await asyncio.gather(*asked):
        assert answer["data"]["observation"]["text"] == "slow"
    for each in sockets:
        with pytest.raises(ConnectionClosed) as closed:
            await each.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert await asyncio.to_thread(server.wait) == -signal.SIGTERM  # as with one worker
    assert not any(map(alive, pids))


def test_a_signal_to_the_whole_group_is_one_signal(serve: Servers, tmp_path: Path) -> None:
    """As systemd and container engines send it: workers that took theirs for a second one would not drain."""
    server = serve(f"{TOYS}:file_app", "--workers", "2", cwd=ROOT)
    session = session_on(server, 1, log=str(tmp_path / "log"))

    async def play() -> Any:
        async with httpx.AsyncClient(base_url=server.url, headers={"X-Session-ID": session}, timeout=15) as client:
            step = asyncio.create_task(client.post("/step", json={"action": {"text": "slow", "seconds": 1.0}}))
            await begun(tmp_path / "log")
            for pid in [server.pid, *worker_pids(server)]:
                os.kill(pid, signal.SIGTERM)
            return await step

    assert asyncio.run(play()).status_code == 200
    assert server.wait() == -signal.SIGTERM


def test_a_second_signal_does_not_wait(serve: Servers, tmp_path: Path) -> None:
    server = serve(f"{TOYS}:file_app", "--workers", "2", cwd=ROOT)
    session = session_on(server, 1, log=str(tmp_path / "log"))

    async def play() -> None:
        async with httpx.AsyncClient(base_url=server.url, headers={"X-Session-ID": session}, timeout=60) as client:
            step = asyncio.create_task(client.post("/step", json={"action": {"text": "slow", "seconds": 25.0}}))
            await begun(tmp_path / "log")
            server.terminate()
            await asyncio.to_thread(until, lambda: drains(server))  # two that it has not heard yet are one
            server.terminate()
            with pytest.raises(httpx.HTTPError):
                (await step).raise_for_status()

    asyncio.run(play())
    server.wait(40)


def test_workers_that_hang_are_killed(serve: Servers, lines: Lines) -> None:
    server = serve(f"{TOYS}:mortal_app", "--workers", "2", "--drain", "0.2", cwd=ROOT)
    session = session_on(server, 1)
    pids = worker_pids(server)
    line = lines(server, 0)
    with socket.create_connection(("127.0.0.1", server.port)) as blocked:
        body = json.dumps({"action": {"text": "spin", "seconds": 50.0}})
        head = f"POST /step HTTP/1.1\r\nHost: x\r\nX-Session-ID: {session}\r\nContent-Length: {len(body)}\r\n\r\n"
        blocked.sendall((head + body).encode())
        until(lambda: b'openenv_worker_up{env="mortal",worker="1"} 0.0' in line.ask("GET", "/metrics")[1])
        server.terminate()
        assert server.wait(40) == -signal.SIGTERM
    assert not any(map(alive, pids))
    assert "workers that hang are killed" in server.log()


def test_nothing_is_left_of_a_server_that_was_killed(serve: Servers) -> None:
    server = serve(f"{TOYS}:mortal_app", "--workers", "2", cwd=ROOT)
    pids = worker_pids(server)
    assert all(map(alive, pids))
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not any(map(alive, pids)))
    until(lambda: refuses(server.port))  # a process is a zombie while threads of it still have its files


def test_a_worker_that_dies_is_started_anew_and_the_others_go_on(serve: Servers, lines: Lines) -> None:
    server = serve(f"{TOYS}:mortal_app", "--workers", "2", cwd=ROOT)
    kept, lost = session_on(server, 0), session_on(server, 1)
    steps(server, kept, 2)
    steps(server, lost, 3)
    assert counted(server)["steps"] == 5
    before = worker_pids(server)
    there = [home(one["session_id"]) for one in listed(server)]
    line = lines(server, 0)  # a connection that stays
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{server.url}/step", json={"action": {"text": "die"}}, headers={"X-Session-ID": lost})
    until(lambda: line.ask("GET", "/health")[0] == 200 and "worker 1 serves again" in server.log())
    assert len(set(worker_pids(server)) - set(before)) == 1
    assert line.ask("POST", "/step", {"action": {"text": "a"}}, {"X-Session-ID": kept})[0] == 200
    for worker in (0, 1):  # whoever is asked: it is told why, at once
        status, answer, _ = lines(server, worker).ask("POST", "/step", {"action": {"text": "a"}}, {"X-Session-ID": lost})
        assert (status, answer["error"]["code"]) == (404, "SESSION_ERROR")
        assert "the worker process that had it is gone" in answer["error"]["message"]
    assert f"worker 1 ended with signal 6: {there.count(1)} sessions are lost; it is started anew" in server.log()
    now = counted(server)
    assert now == {"steps": 6, "sessions": there.count(0), "worker 0": 1, "worker 1": 1}
    fresh = session_on(server, 1)
    steps(server, fresh, 1)
    assert fresh[-4:-2] == "01"
    assert counted(server)["steps"] == 7


def changed(change: str, target: str) -> list[str]:
    """The command of a server that does this before it begins."""
    run = f"import runpy, sys; {change}; runpy.run_module('openenv.cli', None, '__main__', True)"
    return [sys.executable, "-c", run, "serve", target, "--port", "0", "--workers", "2"]


def test_a_worker_that_cannot_be_started_is_tried_again(serve: Servers, lines: Lines, tmp_path: Path) -> None:
    program, away = tmp_path / "python", tmp_path / "away"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    command = changed(f"sys.executable = {str(program)!r}", f"{TOYS}:mortal_app")
    server = serve.start(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT)
    kept, lost, line = session_on(server, 0), session_on(server, 1), lines(server, 0)
    program.rename(away)
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{server.url}/step", json={"action": {"text": "die"}}, headers={"X-Session-ID": lost})
    refusal = f"worker 1 cannot be started: [Errno 2] No such file or directory: '{program}'; it is tried again in"
    until(lambda: line.ask("GET", "/health")[0] == 200 and server.log().count(refusal) >= 3)
    assert line.ask("POST", "/step", {"action": {"text": "a"}}, {"X-Session-ID": kept})[0] == 200
    files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    seen = server.log().count(refusal)
    until(lambda: server.log().count(refusal) > seen)
    assert len(list(Path(f"/proc/{server.pid}/fd").iterdir())) == files, "an attempt leaves no file open"
    away.rename(program)
    until(lambda: "worker 1 serves again" in server.log())
    steps(server, session_on(server, 1), 1)
    assert "Traceback" not in server.log()


def test_workers_that_cannot_be_started_at_all_are_the_servers_end(tmp_path: Path) -> None:
    command = changed(f"sys.executable = {str(tmp_path / 'nothing')!r}", f"{TOYS}:quick_app")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "worker 0 cannot be started: [Errno 2] No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_that_sends_the_supervisor_nonsense_is_started_anew(serve: Servers) -> None:
    server = serve(f"{TOYS}:mortal_app", "--workers", "2", cwd=ROOT)
    headers = {"X-Session-ID": session_on(server, 1)}
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{server.url}/step", json={"action": {"text": "babble"}}, headers=headers, timeout=15)
    until(lambda: "worker 1 serves again" in server.log())
    assert "worker 1 sends what is no message and is ended" in server.log()
    steps(server, session_on(server, 0), 1)


def test_while_a_worker_is_stopped_the_rest_is_answered(serve: Servers, lines: Lines) -> None:
    """SIGSTOP stands for whatever keeps a process from answering."""
    server = serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)
    there = session_on(server, 1)
    steps(server, there, 2)
    steps(server, session_on(server, 0), 3)
    assert counted(server)["steps"] == 5
    line = lines(server, 0)
    first, second = worker_pids(server)
    stopped = second if Path(f"/proc/{second}/environ").read_text().count('"worker": 1') else first
    os.kill(stopped, signal.SIGSTOP)
    try:
        until(lambda: state_of(stopped) == "T")
        _, text, _ = line.ask("GET", "/metrics")
        assert b'openenv_worker_up{env="quick",worker="1"} 0.0' in text
        assert b'openenv_steps_total{env="quick",status="success"} 5.0' in text  # as it was last seen: it never goes back
        status, answer, _ = line.ask("GET", "/sessions")
        assert (status, answer["silent_workers"]) == (200, [1])
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert line.ask("POST", "/step", {"action": {"text": "a"}}, {"X-Session-ID": there})[0] == 200


@pytest.mark.timeout(150)
@pytest.mark.parametrize("soon_s", [10.0, 0.0], ids=["at once", "after a long start"])
def test_a_server_whose_workers_do_not_last_gives_up(serve: Servers, tmp_path: Path, soon_s: float) -> None:
    """However long their start takes: those that never served have not lasted."""
    mark = tmp_path / "mark"
    (tmp_path / "shaky.py").write_text(
        "import os, threading, pathlib, time\n"
        "from tests.support.worker_toys import quick_app as app\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "def end():\n"
        "    while not mark.exists():\n"
        "        time.sleep(0.01)\n"
        "    os._exit(7)\n"
        "threading.Thread(target=end, daemon=True).start()\n"
    )
    command = changed(f"from openenv.server.workers import supervisor; supervisor._SOON_S = {soon_s}", "shaky:app")
    server = serve.start(command, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}, cwd=tmp_path)
    mark.touch()
    assert server.wait(120) == 1
    assert "5 times in a row" in server.log()
    assert server.log().count("error:") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing_like_it",), "no environment is called 'nothing_like_it'"),
        (("echo", "--tokens", "/nowhere/tokens.json"), "cannot be read"),
        ((), "serve takes an environment or --mcp"),
    ],
)
def test_what_cannot_be_served_is_said_once(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments, "--port", "0")
    assert done.returncode == 2
    assert done.stderr.count(told) == 1, done.stderr
    assert "Traceback" not in done.stderr


def test_an_application_that_does_not_import_is_the_servers_end(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('not today')\n")
    done = run("broken:app", "--port", "0", env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}/src"})
    assert done.returncode == 1
    assert "before it served" in done.stderr


def test_a_port_that_another_server_has_is_refused(serve: Servers) -> None:
    """Also one of several workers, who let each other listen on one port."""
    server = serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)
    done = run("echo", "--port", str(server.port))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{server.port}" in done.stderr


def test_it_takes_the_port_that_it_is_given(serve: Servers) -> None:
    port = free_port()
    server = serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT, port=port)
    assert server.port == port
    server.stop()
    assert serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT, port=port).port == port


@pytest.mark.parametrize("after_s", [0.0, 0.5, 1.0, 1.5])
def test_it_can_be_stopped_while_it_starts(after_s: float) -> None:
    command = [sys.executable, "-m", "openenv.cli", "serve", f"{TOYS}:quick_app", "--workers", "2", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: len(children.read_text().split()) == 2)
        workers = [int(pid) for pid in children.read_text().split()]
        time.sleep(after_s)
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM
        assert not any(map(alive, workers))
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_ctrl_c_ends_it_in_peace(serve: Servers) -> None:
    server = serve(f"{TOYS}:quick_app", "--workers", "2", cwd=ROOT)
    server.process.send_signal(signal.SIGINT)
    assert server.wait() in (130, -signal.SIGINT)
    assert "Traceback" not in server.log()
