"""`openenv tokens`, and what `openenv serve` says of its options for tokens and rates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.processes import ROOT, Servers

pytestmark = pytest.mark.e2e

SECRET = "thirty-two bytes make a good secret"


def openenv(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openenv.cli", *arguments]
    environment = os.environ | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=20, check=False)


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
