"""What Python's loggers say under ``openenv serve``: lines of the JSON log, with the ids of what was being done."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from openenv.middleware import JsonLog
from openenv.middleware.log_records import take_records
from tests.support.processes import Server, Servers

APP = """
import logging
from openenv import Action, Environment, Observation, State, create_app


class Divide(Action):
    by: int


class Division(Environment[Divide, Observation, State]):
    def reset(self, *, seed: int | None = None) -> Observation:
        return Observation()

    def step(self, action: Divide) -> Observation:
        logging.getLogger("division").warning("dividing by %d: %s", action.by, "ä" * 3)
        return Observation(reward=1 / action.by)


SETUP
app = create_app(Division, env_name="division"OPTIONS)
"""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Request-ID": "r-1"}


def divided(serve: Servers, folder: Path, *flags: str, setup: str = "", options: str = "", uvicorn: bool = False) -> Server:
    """A server at which one step has raised."""
    (folder / "division.py").write_text(APP.replace("SETUP", setup).replace("OPTIONS", options))
    server = serve("division:app", *flags, cwd=folder, uvicorn=uvicorn)
    with connect(f"{server.ws_url}/ws", additional_headers=HEADERS) as socket:
        socket.send('{"type":"step","data":{"by":0}}')
        assert json.loads(socket.recv())["data"]["code"] == "EXECUTION_ERROR"
    return server


def lines_of(server: Server) -> list[dict[str, Any]]:
    server.terminate()
    server.wait()
    return [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]


@pytest.mark.e2e
@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["one", "workers"])
def test_what_an_environment_raises_is_a_line_with_the_ids_of_its_operation(
    serve: Servers, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    server = divided(serve, tmp_path, *flags)
    lines = lines_of(server)
    raised = next(line for line in lines if line["event"] == "log" and line["level"] == "error")
    opened = next(line for line in lines if line["event"] == "session.open")
    assert {name: raised[name] for name in ("trace", "span", "session", "request")} == {
        "trace": TRACE,
        "span": SPAN,
        "session": opened["session"],
        "request": "r-1",
    }
    assert (raised["logger"], raised["message"], raised["env"]) == ("openenv.runtime", "division raised in step", "division")
    assert raised["exception"].endswith("ZeroDivisionError: division by zero\n")
    assert 'File "' in raised["exception"]
    own = next(line for line in lines if line.get("logger") == "division")
    assert (own["level"], own["message"], own["session"]) == ("warning", "dividing by 0: äää", None)
    assert "\nTraceback" not in server.log()
    assert ("worker" in raised) == bool(flags)


@pytest.mark.e2e
def test_a_supervisor_writes_lines_too(serve: Servers, tmp_path: Path) -> None:
    server = divided(serve, tmp_path, "--workers", "2")
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    while '"worker 0 serves again"' not in server.log():
        time.sleep(0.05)
    said = [line["message"] for line in lines_of(server) if line.get("logger") == "openenv.workers"]
    assert said[0].startswith("worker 0 ended with signal 9")
    assert said[1] == "worker 0 serves again"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("flags", "known"),
    [
        pytest.param((), {"setup": "logging.basicConfig(format='mine: %(message)s')"}, id="a handler of one's own"),
        pytest.param((), {"options": ", log=False"}, id="no JSON log"),
        pytest.param((), {"uvicorn": True}, id="uvicorn"),
    ],
)
def test_elsewhere_records_go_where_python_sends_them(
    serve: Servers, tmp_path: Path, flags: tuple[str, ...], known: dict[str, Any]
) -> None:
    server = divided(serve, tmp_path, *flags, **known)
    assert not [line for line in lines_of(server) if line["event"] == "log"]
    assert "\nTraceback (most recent call last)" in server.log()
    assert "dividing by 0" in server.log()


def test_a_long_traceback_of_a_worker_keeps_its_end_in_one_piece() -> None:
    stream = io.StringIO()
    log = JsonLog("toy", stream)
    log.worker = 1
    try:
        raise ValueError("x" * 100 + "ü" * 50_000 + "the end")
    except ValueError:
        log.record(logging.LogRecord("some", logging.ERROR, __file__, 1, "failed: %s", ("y" * 5000,), sys.exc_info()))
    line = stream.getvalue()
    assert len(line) <= 4096
    assert json.loads(line)["event"] == "log"
    assert json.loads(line)["exception"].endswith("the end\n")


def test_a_stream_of_ones_own_is_left_to_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    assert not take_records([JsonLog("toy", io.StringIO())])
    assert not take_records([])
    assert root.handlers == []
    assert take_records([JsonLog("toy")])
    assert len(root.handlers) == 1


def test_a_line_that_cannot_be_written_is_told_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not on and on by the log itself."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    full = io.StringIO()
    full.close()
    log = JsonLog("toy")
    assert take_records([log])
    log.stream = full
    logging.getLogger("some").error("lost")
    assert "the log line could not be written" in capsys.readouterr().err
