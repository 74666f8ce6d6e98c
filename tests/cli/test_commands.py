"""The command line as a user meets it: real processes, their output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Server, Servers

pytestmark = pytest.mark.e2e


def openenv(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openenv.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture(scope="module")
def echo(module_serve: Servers) -> Server:
    return module_serve("echo")


def test_envs_lists_what_is_installed() -> None:
    shown = openenv("envs")
    assert shown.returncode == 0
    assert {line.split()[0] for line in shown.stdout.splitlines()} >= {"calendar", "echo"}
    assert "tools (32)" in openenv("envs", "calendar").stdout


def test_envs_tells_what_can_be_called() -> None:
    shown = openenv("envs", "snake").stdout.splitlines()
    directions = "'up' | 'down' | 'left' | 'right' | 0 | 1 | 2 | 3"
    assert f"step: SnakeAction(direction: {directions}, picture?: integer 1…64 | null)" in shown
    assert [line for line in shown if line.startswith("reset(seed?: integer 0…, width?: integer 4…32, ")]
    assert "  acl_get(calendarId: string, ruleId: string)" in openenv("envs", "calendar").stdout.splitlines()


def test_tokens_are_pairs_one_a_line() -> None:
    shown = openenv("envs", "calendar", "--tokens")
    assert shown.returncode == 0
    pairs = [line.split(" ") for line in shown.stdout.splitlines()]
    assert [user for user, _ in pairs] == ["alice_manager", "bob_developer", "carol_designer", "dave_sales"]
    assert len({token for _, token in pairs}) == 4


def test_a_step_from_the_shell(echo: Server) -> None:
    shown = openenv("call", echo.url, "--step", '{"message": "hello"}')
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["observation"]["echoed"] == "hello"


def test_tools_from_the_shell(serve: Servers) -> None:
    server = serve("tests.support.toys:notes_app", cwd=ROOT)
    shown = json.loads(openenv("call", server.url).stdout)
    assert {"call": "notes_add(text: string)", "description": "Add a note."} in shown["tools"]
    assert shown["step"] == []
    near = openenv("call", server.url, "notes_ad", "{}", "-H", "x-user: anna")
    assert (near.returncode, "Did you mean notes_add" in near.stderr) == (1, True)
    added = openenv("call", server.url, "notes_add", '{"text": "x"}', "-H", "x-user: anna")
    assert json.loads(added.stdout) == {"id": 2}
    refused = openenv("call", server.url, "notes_add", "{}", "-H", "x-user: anna")
    assert refused.returncode == 1
    assert "text" in refused.stderr
    assert "INVALID_ARGUMENTS" in refused.stderr


def test_what_a_server_without_tools_takes(echo: Server) -> None:
    assert json.loads(openenv("call", echo.url).stdout) == {"step": ["EchoAction(message: string)"], "tools": []}
    for arguments in (["--step", '{"mesage": "x"}'], ["say", "{}"]):
        refused = openenv("call", echo.url, *arguments)
        assert refused.returncode == 1
        assert "A step takes EchoAction(message: string)." in refused.stderr
        assert ("'mesage' is no field; did you mean 'message'?" in refused.stderr) == (arguments[0] == "--step")


def test_serving_by_folder(serve: Servers) -> None:
    server = serve(str(ROOT / "envs" / "echo_env"))
    assert json.loads(openenv("call", server.url, "--step", '{"message": "x"}').stdout)["reward"] == 0.1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["serve", "ecko"], 2, "Did you mean 'echo'?"),
        (["serve", "no.such.module:app"], 2, "there is no module 'no'"),
        (["serve", "conftest.py"], 2, "Did you mean 'conftest:app'?"),
        (["serve", "tests.middleware.apps:app"], 2, "Its applications: tests.middleware.apps:bearer_app, "),
        (["serve", "tests.cli.in_need:app"], 2, "No module named 'nobody_has_this' (CONFIGURATION_ERROR) hint: Is everything"),
        (["serve", ":app"], 2, "no environment is called"),
        (["serve", "..x:app"], 2, "no environment is called"),
        (["serve", "json:"], 2, "no environment is called"),
        (["serve", "json:loads"], 2, "not an application made by openenv.create_app"),
        (["serve", "docs"], 2, "has no openenv.yaml"),
        (["serve", "echo", "--port", "99999"], 2, "65535"),
        (["call", "http://127.0.0.1:1"], 3, "CONNECTION_FAILED"),
        (["call", "http://127.0.0.1:1", "x", "{"], 2, "is not JSON"),
        (["call", "http://127.0.0.1:1", "-H", "nocolon"], 2, "name: value"),
        (["call", "http://127.0.0.1:1", "x", "--step", "{}"], 2, "two things to do"),
        (["envs", "--tokens"], 2, "--tokens needs an environment"),
        (["nothing"], 2, "nothing"),
    ],
)
def test_mistakes_are_explained_with_an_exit_code(arguments: list[str], code: int, words: str) -> None:
    shown = openenv(*arguments)
    assert shown.returncode == code, shown.stderr
    assert words in " ".join(shown.stderr.split())
    assert "Traceback" not in shown.stderr


def test_a_port_that_is_taken_is_said(echo: Server) -> None:
    shown = openenv("serve", "echo", "--port", str(echo.port))
    assert shown.returncode == 2
    assert f"cannot listen on 127.0.0.1:{echo.port}" in shown.stderr


@pytest.mark.parametrize("command", ["serve", "eval", "envs", "call"])
def test_help_has_examples(command: str) -> None:
    shown = openenv(command, "--help")
    assert shown.returncode == 0
    assert f"openenv {command}" in shown.stdout
    assert "Example" in shown.stdout
