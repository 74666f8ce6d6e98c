from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import Servers, answers

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    status = 200 if scope["path"] == "/health" else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def test_a_server_is_ready_when_it_is_handed_over_and_gone_when_stopped(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "healthy.py").write_text(APP)
    server = serve("healthy:app", cwd=tmp_path, uvicorn=True)
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert "GET /health" in server.log()
    assert server.stop() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_cannot_start_raises_with_its_log(serve: Servers, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"):
        serve("no_such_module:app", cwd=tmp_path, uvicorn=True)


def test_children_of_a_server_end_with_it(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "healthy.py").write_text(APP)
    command = f"{sys.executable} -m uvicorn healthy:app --port 0; true"
    server = serve.start(["bash", "-c", command], env=os.environ, cwd=tmp_path)
    assert answers(server.url)
    server.stop()
    assert not answers(server.url)
