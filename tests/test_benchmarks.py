"""The benchmarks' own parts: the load generator measures a real server, the report does its sums right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from benchmarks.calendar import Cost
from benchmarks.echo import BARE, CHAIN, EARLIER, FLOOR, OURS, REFERENCE, Round, measure, start_earlier, start_variants
from benchmarks.report import Report
from tests.support.processes import ROOT, Servers


def test_the_load_generator_counts_steps_of_a_real_server(serve: Servers) -> None:
    server = serve("benchmarks.servers.floor:app", "--ws", "websockets-sansio", cwd=ROOT, uvicorn=True)
    arguments = [f"{server.ws_url}/ws", "--sessions", "3", "--seconds", "0.2", "--server-pid", str(server.pid)]
    command = [sys.executable, "-m", "benchmarks.load", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=15)
    seen = json.loads(done.stdout)
    assert seen["steps"] > 0
    assert seen["seconds"] > 0
    assert 0 < seen["p50_ms"] <= seen["p99_ms"]


def test_the_load_generator_refuses_a_server_that_answers_something_else(serve: Servers, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from benchmarks.servers import floor\n\n"
        "async def app(scope, receive, send):\n"
        "    async def other(message):\n"
        "        await send({**message, 'text': 'no'} if 'text' in message else message)\n\n"
        "    await floor.app(scope, receive, other)\n"
    )
    server = serve("wrong:app", "--app-dir", str(tmp_path), cwd=ROOT, uvicorn=True)
    arguments = [f"{server.ws_url}/ws", "--sessions", "1", "--seconds", "0.2", "--server-pid", str(server.pid)]
    command = [sys.executable, "-m", "benchmarks.load", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=15)
    assert done.returncode != 0
    assert "RuntimeError: " in done.stderr


def measured(server: str, number: int, steps_per_s: float) -> Round:
    return Round(server, 64, number, steps_per_s, p50_ms=1.0, p99_ms=2.0, server_cpu_us=30.0, load_cpu=0.95)


def test_ratios_compare_the_same_round() -> None:
    first = [measured(OURS, 0, 30), measured(REFERENCE, 0, 10), measured(FLOOR, 0, 60)]
    second = [measured(OURS, 1, 20), measured(REFERENCE, 1, 5)]
    report = Report(echo=first + second)
    assert report.ratios(64) == {REFERENCE: [3.0, 4.0], FLOOR: [0.5]}
    assert report.ratios(1) == {}
    text = report.text()
    assert f"steps/s, {OURS} / {REFERENCE}: 3.50 (rounds 3.00 to 4.00)" in text
    assert "95% *" in text


def test_what_the_default_chain_costs_is_a_line_of_its_own() -> None:
    report = Report(echo=[measured(BARE, 0, 100), measured(CHAIN, 0, 90)])
    assert report.chain_ratios(64) == {"steps/s": [0.9], "server CPU per step": [1.0]}
    assert f"steps/s, {CHAIN} / {BARE}: 0.90" in report.text()
    assert Report(echo=[measured(OURS, 0, 100)]).chain_ratios(64) == {}


def test_the_server_with_the_default_chain_asks_for_the_token_that_the_load_has(serve: Servers) -> None:
    servers = start_variants(serve)
    for name, server in servers.items():
        entry = next(measure({name: server}, [2], 1, 0.2))
        assert (entry.server, entry.steps_per_s > 0) == (name, True)
    assert httpx.get(f"{servers[CHAIN].url}/schema").status_code == 401
    assert httpx.get(f"{servers[BARE].url}/metrics").status_code == 404


def test_an_earlier_commit_is_compared_by_its_cost() -> None:
    rounds = [measured(OURS, 0, 30), measured(EARLIER, 0, 30), measured(OURS, 1, 30), measured(EARLIER, 1, 30)]
    report = Report(echo=rounds)
    assert report.cpu_ratios(64) == [1.0, 1.0]
    assert report.cpu_ratios(1) == []
    assert f"server CPU per step, {OURS} / {EARLIER}: 1.00" in report.text()


def test_an_earlier_commit_is_served_from_its_own_files(serve: Servers) -> None:
    server = start_earlier(serve, "HEAD")
    loaded = Path(f"/proc/{server.pid}/cwd").resolve()
    assert loaded == serve.folder / "earlier"
    assert (loaded / "src" / "openenv" / "version.py").exists()
    assert "serving echo" in server.log()


def test_results_are_kept_as_json(tmp_path: Path) -> None:
    report = Report(calendar=[Cost("reset", 2.0, 1.0), Cost("reset", 4.0, 3.0)], imports=[(0.3, 0.2)])
    report.write(tmp_path / "results" / "latest.json")
    value = json.loads((tmp_path / "results" / "latest.json").read_text())
    assert [cost["cpu_ms"] for cost in value["calendar"]] == [1.0, 3.0]
    assert value["ratios"] == {}
    assert "importing the client: 0.30 s, 1.5 times" in report.text()
