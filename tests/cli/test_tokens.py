"""`openenv tokens`, and what `openenv serve` says of its options for tokens and rates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, Servers

pytestmark = pytest.mark.e2e

SECRET = "thirty-two bytes make a good secret"


def openenv(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openenv.cli", *arguments]
    environment = os.environ | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_a_new_token_opens_the_server_that_has_its_entry(serve: Servers, tmp_path: Path) -> None:
    shown = openenv("tokens", "new", "trainer", "--tenant", "north")
    token, entry = (line.split(": ", 1)[1] for line in shown.stdout.splitlines())
    assert token not in entry
    (tmp_path / "tokens.json").write_text(entry)
    server = serve("echo", "--tokens", str(tmp_path / "tokens.json"))
    step = ["call", server.url, "--step", '{"message": "hi"}']
    assert openenv(*step, "-H", f"Authorization: Bearer {token}").returncode == 0
    refused = openenv(*step)
    assert refused.returncode == 1
    assert "UNAUTHENTICATED" in refused.stderr
    metrics = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert metrics.status_code == 403


def test_new_tokens_are_added_to_a_file_and_shown_to_nobody(serve: Servers, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    files = [tmp_path / f"{name}.token" for name in ("anna", "berta")]
    shown = [openenv("tokens", "new", file.stem, "--into", str(tokens), "--token-file", str(file)) for file in files]
    secrets = [file.read_text().strip() for file in files]
    assert [one.returncode for one in shown] == [0, 0], shown
    assert "2 in all" in shown[1].stdout
    assert not [one for one in secrets if one in shown[0].stdout + shown[1].stdout + tokens.read_text()]
    assert [path.stat().st_mode & 0o777 for path in (tokens, *files)] == [0o600] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["anna.token", "berta.token", "tokens.json"]
    server = serve("echo", "--tokens", str(tokens))
    step = ["call", server.url, "--step", '{"message": "hi"}']
    for secret in secrets:
        assert openenv(*step, "-H", f"Authorization: Bearer {secret}").returncode == 0


def test_a_file_of_tokens_that_others_can_read_is_closed_and_a_link_stays_one(tmp_path: Path) -> None:
    tokens, link = tmp_path / "tokens.json", tmp_path / "link.json"
    tokens.write_text(json.dumps({"token-of-anna-0001": {"id": "anna", "scopes": ["act"]}}))
    tokens.chmod(0o644)
    link.symlink_to(tokens)
    assert openenv("tokens", "new", "b", "--into", str(link), "--token-file", str(tmp_path / "b")).returncode == 0
    assert link.is_symlink()
    assert tokens.stat().st_mode & 0o777 == 0o600
    assert next(iter(json.loads(tokens.read_text()))) == "token-of-anna-0001"


def test_commands_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    def add(number: int) -> int:
        into = ["--into", str(tmp_path / "tokens.json"), "--token-file", str(tmp_path / str(number))]
        return openenv("tokens", "new", f"n{number}", *into).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(add, range(6))) == [0] * 6
    assert len(json.loads((tmp_path / "tokens.json").read_text())) == 6


@pytest.mark.parametrize(
    ("there", "options", "words"),
    [
        (None, [], "no terminal"),
        ("[]", ["--token-file", "new"], "not a JSON object"),
        ('{"short": {"id": "x", "scopes": []}}', ["--token-file", "new"], "token 1 (x) is too short"),
        (None, ["--token-file", "taken"], "taken is there already"),
        (None, ["--token-file", "nowhere/new"], "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_added_changes_nothing(tmp_path: Path, there: str | None, options: list[str], words: str) -> None:
    (tmp_path / "taken").touch()
    if there is not None:
        (tmp_path / "tokens.json").write_text(there)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    shown = openenv("tokens", "new", "x", "--into", "tokens.json", *options, cwd=tmp_path)
    assert shown.returncode == 2
    assert words in " ".join(shown.stderr.split())
    assert shown.stdout == ""
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_terminal_shows_the_token(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "openenv.cli", "tokens", "new", "x", "--into", str(tmp_path / "tokens.json")]
    subprocess.run(command, stdout=theirs, timeout=20, check=True)
    os.close(theirs)
    assert os.read(ours, 4096).startswith(b"token: ")
    os.close(ours)


def test_a_minted_token_opens_the_server_with_its_secret_and_audience(serve: Servers) -> None:
    options = ["--jwt-secret-env", "THE_SECRET", "--jwt-audience", "lab"]
    server = serve("echo", *options, env={"THE_SECRET": SECRET})

    def status(*more: str) -> int:
        made = openenv("tokens", "mint", "prom", "-s", "metrics", "--jwt-secret-env", "THE_SECRET", *more, THE_SECRET=SECRET)
        assert made.returncode == 0, made.stderr
        return httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {made.stdout.strip()}"}).status_code

    assert status("--jwt-audience", "lab") == 200
    assert status() == 401


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "echo", "--tokens", "nothing.json"], "cannot be read: No such file"),
        (["serve", "echo", "--jwt-secret-env", "NOT_SET"], "NOT_SET is not set"),
        (["serve", "echo", "--jwt-secret-env", "SHORT"], "needs 32"),
        (["serve", "echo", "--burst", "5"], "--burst needs a --rate"),
        (["serve", "echo", "--rate", "0"], "above zero"),
        (["serve", "tests.middleware.apps:bearer_app", "--jwt-secret-env", "LONG"], "authenticates its callers itself"),
        (["tokens", "mint", "x", "--jwt-secret-env", "NOT_SET"], "NOT_SET is not set"),
        (["tokens", "mint", "x", "--jwt-secret-env", "LONG", "-s", "everything"], "no scope 'everything'"),
        (["tokens", "new", "", "-s", "act"], "id is not a text"),
        (["tokens", "new", "x", "-s", "acts"], "no scope 'acts'"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], words: str) -> None:
    shown = openenv(*arguments, SHORT="short", LONG=SECRET)
    assert shown.returncode == 2, shown.stderr
    assert words in " ".join(shown.stderr.split())
    assert "Traceback" not in shown.stderr
    assert SECRET not in shown.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_line_says_what_is_on(serve: Servers, tmp_path: Path, workers: str) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps({"token-of-anna-0001": {"id": "anna", "scopes": ["act"]}}))
    options = ["--tokens", str(tmp_path / "tokens.json"), "--rate", "100", "--burst", "200", "--workers", workers]
    several = f"{workers} workers, " if workers != "1" else ""
    server = serve("tests.cli.budgeted:app", *options, cwd=ROOT)
    chain = "a JSON log, /metrics, bearer tokens, a rate limit of 100/s (burst 200), Budget"
    assert f"serving echo on {server.url}, with {several}{chain}\n" in server.log()


def test_the_first_line_says_who_may_come(serve: Servers) -> None:
    server = serve("echo")
    who = "all scopes for everyone (no middleware admits callers)"
    assert f"serving echo on {server.url}, with a JSON log, /metrics, {who}\n" in server.log()


def test_help_has_examples() -> None:
    for command in ("new", "mint"):
        assert f"openenv tokens {command}" in openenv("tokens", command, "--help").stdout


def test_the_order_of_the_chain(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps({"token-of-anna-0001": {"id": "anna", "scopes": ["act"]}}))
    code = (
        "from pathlib import Path\nfrom openenv.cli.chain import Chain\nfrom openenv import create_app\n"
        "from openenv.middleware import Hooks\nfrom echo_env.environment import EchoEnvironment\n"
        "app = create_app(EchoEnvironment, middleware=[Hooks()])\n"
        "Chain(tokens=Path('tokens.json'), rate=5).put_around(app)\n"
        "print([type(one).__name__ for one in app.state.openenv.pipeline.middleware])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    assert shown.stdout.strip() == "['JsonLog', 'Metrics', 'BearerAuth', 'RateLimit', 'Hooks']"
