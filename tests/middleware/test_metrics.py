"""Metrics: what is counted where, and that those of several processes add up."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from openenv.errors import ExecutionFailed, RateLimited, Unauthenticated
from openenv.middleware import Metrics
from openenv.operation import Connection, Operation, Result
from tests.middleware.apps import token_file
from tests.support.processes import ROOT, Servers

NAMES = {
    "openenv_steps_total",
    "openenv_step_duration_seconds",
    "openenv_step_duration_seconds_count",
    "openenv_step_duration_seconds_sum",
    "openenv_active_sessions",
    "openenv_errors_total",
}


def sample(text: bytes | str, name: str, **labels: str) -> float:
    text = text.decode() if isinstance(text, bytes) else text
    wanted = "".join(rf'(?=[^}}]*{key}="{value}")' for key, value in labels.items())
    found = re.search(rf"^{name}\{{{wanted}[^}}]*\}} (\S+)$", text, re.MULTILINE)
    assert found is not None, (name, labels, text)
    return float(found[1])


def step(metrics: Metrics, seconds: float) -> None:
    metrics.after(Operation("step"), Result(seconds=seconds))


def test_parts_of_the_work_add_up_to_the_whole() -> None:
    dice = random.Random(7)
    whole, parts = Metrics("toy", lambda: 6), [Metrics("toy", lambda: 2) for _ in range(3)]
    for number in range(3000):
        part = parts[number % 3]
        seconds = dice.lognormvariate(-5, 2) * (20 if number % 3 == 0 else 1)
        for metrics in (whole, part):
            step(metrics, seconds)
            if number % 10 == 0:
                metrics.after(Operation("step"), Result(error=ExecutionFailed("broke")))
            if number % 100 == 0:
                metrics.refused(Connection("http", {}, {}), Unauthenticated("who"))
                metrics.after(Operation("step"), Result(error=RateLimited("slow", retry_after_s=1)))
    total = Metrics("toy", lambda: 0)
    for part in parts:
        total.merge(json.loads(json.dumps(part.export())))

    def comparable(metrics: Metrics) -> list[str]:
        return [line for line in metrics.render().decode().splitlines() if "_sum" not in line]

    assert comparable(total) == comparable(whole)
    sums = [sample(one.render(), "openenv_step_duration_seconds_sum", env="toy") for one in (total, whole)]
    assert sums[0] == pytest.approx(sums[1])
    assert sample(total.render(), "openenv_steps_total", status="success") == 3000
    assert sample(total.render(), "openenv_errors_total", type="auth") == 30
    assert sample(total.render(), "openenv_errors_total", type="rate_limit") == 30
    assert sample(total.render(), "openenv_active_sessions", env="toy") == 6
    averaged = sum(sample(one.render(), "openenv_step_duration_seconds", quantile="0.95") for one in parts) / 3
    assert sample(total.render(), "openenv_step_duration_seconds", quantile="0.95") != pytest.approx(averaged, rel=0.1)


def test_a_merge_can_be_merged_on_and_other_buckets_cannot() -> None:
    first, second = Metrics("toy", lambda: 1), Metrics("toy", lambda: 1)
    step(first, 0.1)
    second.merge(first.export())
    again = Metrics("toy", lambda: 1)
    again.merge(second.export())
    assert sample(again.render(), "openenv_active_sessions", env="toy") == 3
    with pytest.raises(ValueError, match="cannot be added"):
        again.merge(first.export() | {"buckets": "others"})


@pytest.mark.e2e
def test_every_refusal_is_counted_once_wherever_it_comes_from(serve: Servers, tmp_path: Path) -> None:
    server = serve("tests.middleware.apps:notes_app", "--tokens", str(token_file(tmp_path)), cwd=ROOT)
    anna, zoe = {"Authorization": "Bearer token-of-anna-0001"}, {"Authorization": "Bearer token-of-zoe-00001"}
    with httpx.Client(base_url=server.url) as http:

        def counted(kind: str) -> float:
            text = http.get("/metrics", headers=zoe).text
            names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
            assert names == NAMES
            return sample(text, "openenv_errors_total", env="notes", type=kind) if f'type="{kind}"' in text else 0.0

        def adds(kind: str) -> float:
            before = seen.get(kind, 0.0)
            seen[kind] = counted(kind)
            return seen[kind] - before

        seen: dict[str, float] = {}
        with connect(f"{server.ws_url}/mcp", additional_headers=anna) as socket:
            for frame in ("{", "[]", '{"jsonrpc": "1.0"}', '{"jsonrpc": "2.0", "id": 1, "method": "none"}', b"\x00"):
                socket.send(frame)
                socket.recv()
        assert adds("validation") == 5
        with connect(f"{server.ws_url}/ws", additional_headers=anna) as socket:
            for frame in ("{", '{"type": "mcp", "data": {"jsonrpc": "1.0"}}', '{"action": 5}', b"\x00"):
                socket.send(frame)
                socket.recv()
        assert adds("validation") == 4
        http.post("/mcp", content="{", headers=anna)
        http.post("/step", content="{", headers=anna)
        http.post("/step", json={"action": {}}, headers=anna | {"x-notebook": "../etc"})
        http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize"}, headers=anna)
        http.post("/sessions", headers=anna | {"x-notebook": "../etc"})
        assert adds("validation") == 5
        http.get("/metrics", headers=anna)
        http.get("/schema")
        http.get("/schema", headers=anna | {"Origin": "https://evil.example"})
        with connect(f"{server.ws_url}/ws") as socket:
            socket.recv()
        assert adds("auth") == 4
        http.get("/sessions/none", headers=anna)
        http.post("/sessions/none/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=anna)
        http.delete("/sessions/none", headers=anna)
        with connect(f"{server.ws_url}/ws?session_id=none", additional_headers=anna) as socket:
            socket.recv()
        assert adds("session") == 4
        assert adds("validation") == adds("auth") == 0
