"""``openenv eval`` as a process, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from openenv.evaluation import read_results
from tests.evaluation.build import FOLDER
from tests.evaluation.chat_endpoint import Endpoint, message
from tests.support.processes import ROOT, Servers

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "openenv.cli", "eval"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=False
    )


def summary(folder: Path, name: str = "summary.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


def test_it_serves_runs_reports_and_scores_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run("library_suite", "--agent", "oracle", "-a", "noop", "-a", "first-match", "--out", out, "--fail-under", "oracle=1")
    assert done.returncode == 0, done.stderr
    assert "100 % (4/4)" in done.stdout
    assert "12 of 12 trials, 7 passed" in done.stderr
    assert {agent["agent"]: agent["success"]["passed"] for agent in summary(out)["agents"]} == {
        "oracle": 4,
        "noop": 0,
        "first-match": 3,
    }
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert "serving" in (out / "server.log").read_text()

    again = run("--rescore", out / "results.jsonl")
    assert again.returncode == 0, again.stderr
    assert "0 of 12 trials have another score" in again.stdout
    assert summary(out, "summary.rescored.json")["agents"] == summary(out)["agents"]

    stricter = json.loads((FOLDER / "library_suite" / "suite.json").read_text())
    stricter["scenarios"] += json.loads((FOLDER / "library_suite" / "lending.json").read_text())["scenarios"]
    stricter["scenarios"][0]["allowed_changes"] = []
    (tmp_path / "stricter.json").write_text(json.dumps(stricter))
    changed = run("--rescore", out, "--suite", tmp_path / "stricter.json", "--fail-under", "oracle=1")
    assert changed.returncode == 1
    assert "2 of 12 trials have another score" in changed.stdout
    assert "oracle is below 1: 0.750" in changed.stderr


def test_below_the_bar_is_exit_code_1(serve: Servers, tmp_path: Path) -> None:
    server = serve("toy_library:app", cwd=FOLDER)
    done = run("library_suite", "-a", "noop", "--url", server.url, "--out", tmp_path, "--fail-under", "0.5")
    assert done.returncode == 1
    assert "noop is below 0.5: 0.000" in done.stderr


def test_failures_of_the_machinery_are_exit_code_3(serve: Servers, tmp_path: Path) -> None:
    server = serve("toy_library:app", cwd=FOLDER)
    agent = "tests.evaluation.toy_agents:breaker"
    done = run("library_suite", "-a", agent, "--url", server.url, "--scenario", "count-*", "--out", tmp_path)
    assert done.returncode == 3
    assert "Not scored, because the machinery failed: 1 trial(s)" in done.stdout


def test_no_server_is_exit_code_3(tmp_path: Path, free_port: int) -> None:
    done = run("library_suite", "-a", "noop", "--url", f"http://127.0.0.1:{free_port}", "--out", tmp_path)
    assert done.returncode == 3
    assert "No server answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_that_does_not_start_is_exit_code_3(tmp_path: Path) -> None:
    body = json.loads((FOLDER / "library_suite" / "suite.json").read_text()) | {"environment": "toy_library:nothing"}
    (tmp_path / "suite.json").write_text(json.dumps(body))
    done = run(tmp_path, "-a", "noop", "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "openenv serve toy_library:nothing" in done.stderr
    assert "cannot be loaded" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "No suite is named"),
        (["library_suite"], "No agent is named"),
        (["library_siute", "-a", "noop"], "No suite 'library_siute'"),
        (["library_suite", "-a", "orcale"], "No agent is called 'orcale'"),
        (["library_suite", "-a", "noop", "--scenario", "x"], "No scenario of library matches 'x'"),
        (["library_suite", "-a", "noop", "--fail-under", "90"], "is no success rate"),
        (["library_suite", "-a", "noop", "-H", "nonsense"], "A --header has no name"),
        (["library_suite", "-a", "noop", "--reward", "m:f"], "only go with --rescore"),
        (["library_suite", "-a", "noop", "--trials", "0"], "--trials"),
        (["library_suite", "-a", "noop", "--url", "ftp://x"], "Bad server URL"),
        (["--rescore", "nowhere.jsonl"], "cannot be read"),
    ],
)
def test_wrong_use_is_exit_code_2_and_says_what_to_do(tmp_path: Path, arguments: list[str], told: str) -> None:
    extra = ["--out", str(tmp_path)] if "-a" in arguments else []
    done = run(*arguments, *extra)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_not_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("")
    done = run("library_suite", "-a", "noop", "--out", tmp_path)
    assert done.returncode == 2
    assert "already holds the results of a run" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_sessions_and_writes_what_there_is(serve: Servers, tmp_path: Path, number: signal.Signals) -> None:
    server = serve("toy_library:app", cwd=FOLDER)
    results = tmp_path / "results.jsonl"
    agent = "tests.evaluation.toy_agents:dozer"
    agents = ["-a", "noop", "-a", agent]
    command = [*COMMAND, "library_suite", *agents, "--parallel", "2", "--url", server.url, "--out", str(tmp_path)]
    process = subprocess.Popen(command, cwd=FOLDER, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_lines(results, 5, process)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "Stopped early" in stdout
    kept = read_results(results)
    assert sum(trial.status == "scored" for trial in kept.trials) >= 4
    assert sum(trial.status == "cancelled" for trial in kept.trials) == 2
    assert "was stopped early" in (tmp_path / "report.html").read_text()
    wait_for_no_sessions(server.url)


def test_a_signal_stops_the_server_that_it_started(tmp_path: Path) -> None:
    # A name of its own, so that no other test's server is taken for this one's.
    body = json.loads((FOLDER / "library_suite" / "suite.json").read_text()) | {"environment": "toy_library:small_app"}
    (tmp_path / "suite.json").write_text(json.dumps(body))
    agent = "tests.evaluation.toy_agents:dozer"
    out = tmp_path / "run"
    command = [*COMMAND, str(tmp_path), "-a", "noop", "-a", agent, "--parallel", "1", "--out", str(out)]
    process = subprocess.Popen(command, cwd=FOLDER, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_lines(out / "results.jsonl", 3, process)
        log = (out / "server.log").read_text()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 130, stderr
    url = log.split(" on ", 1)[1].split(",", 1)[0].strip()
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{url}/health")


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    for _ in range(1500):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"{path} never had {count} lines")


def wait_for_no_sessions(url: str) -> None:
    """A session whose socket went away in the middle of a step ends with that step."""
    for _ in range(500):
        with urlopen(f"{url}/sessions") as answer:
            if not json.load(answer)["sessions"]:
                return
        time.sleep(0.02)
    raise AssertionError("sessions were left behind")


def test_help_has_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "openenv eval calendar --agent oracle" in done.stdout


def test_a_model_behind_a_chat_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint()
    try:
        endpoint.says(message(None, ("book_move", '{"book": "dune"}')))
        endpoint.says(message("Let me try again.", ("book_move", '{"book": "dune", "shelf": "science-fiction"}')))
        endpoint.says(message("Moved.", usage=(40, 2)))
        monkeypatch.setitem(ENVIRONMENT, "SHELF_KEY", "sk-very-secret")
        options = ["--model", "tiny", "--base-url", endpoint.url, "--api-key-env", "SHELF_KEY", "--scenario", "move-explicit"]
        done = run("library_suite", "-a", "openai", *options, "--out", tmp_path)
    finally:
        endpoint.stop()
    assert done.returncode == 0, done.stderr
    (trial,) = read_results(tmp_path / "results.jsonl").trials
    assert (trial.agent, trial.passed, trial.response) == ("openai:tiny", True, "Moved.")
    assert [event["success"] for event in trial.events] == [False, True]
    assert trial.tokens == {"prompt": 60, "completion": 8}
    told = json.loads(endpoint.asked[1]["messages"][3]["content"])["error"]
    assert (told["code"], told["field"]) == ("INVALID_ARGUMENTS", "shelf")
    assert told["example"] == {"book": "text", "shelf": "text"}
    names = [tool["function"]["name"] for tool in endpoint.asked[0]["tools"]]
    assert "book_move" in names
    assert "science-fiction" not in json.dumps(endpoint.asked[0]["tools"])
    assert "Dune_Moved" not in json.dumps(endpoint.asked)
    assert endpoint.keys == ["Bearer sk-very-secret"] * 3
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"very-secret" in path.read_bytes() for path in written)
    assert "very-secret" not in done.stdout + done.stderr


def test_a_model_that_cannot_be_reached_is_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint()
    try:
        endpoint.says({"error": "no such model"}, 404)
        monkeypatch.delitem(ENVIRONMENT, "OPENAI_API_KEY", raising=False)
        options = ["--model", "huge", "--base-url", endpoint.url, "--scenario", "move-explicit"]
        done = run("library_suite", "-a", "openai", *options, "--out", tmp_path)
    finally:
        endpoint.stop()
    assert done.returncode == 3
    assert "HTTP 404" in done.stdout
    (trial,) = read_results(tmp_path / "results.jsonl").trials
    assert (trial.status, trial.passed, trial.reward) == ("infrastructure_error", None, None)
    assert endpoint.keys == [None]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("library_suite", "-a", "noop", "--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
