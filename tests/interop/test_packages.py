"""Six packages in OpenEnv 0.10's layout run unchanged under both frameworks, driven by their own clients under both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.interop.compare import ABSENT, Accepted, differences, unexplained
from tests.interop.counts import record
from tests.support.processes import Server, Servers, running

PACKAGES = Path(__file__).parent / "packages"
EXERCISE = Path(__file__).parent / "scripts" / "exercise.py"
NAMES = ("plain_env", "notes_env", "slow_env", "quiz_env", "graded_env", "shop_env")
PAGE = "shop_env page"
APPS = {
    "plain": "plain_env.server.app:app",
    "notes": "notes_env.server.app:app",
    "slow": "slow_env.server.app:app",
    "one_thread": "slow_env.server.app:one_thread",
    "lonely": "slow_env.server.app:lonely",
    "quiz": "quiz_env.server.app:app",
    "graded": "graded_env.server.app:app",
    "journey": "graded_env.server.app:journey",
    "last_word": "graded_env.server.app:last_word",
    "considered": "graded_env.server.app:considered",
    "shop": "shop_env.server.app:app",
    "stall": "shop_env.server.app:stall",
    "counter": "shop_env.server.app:counter",
}

_ALL_OF_IT = "GET /state tells all of the state, whether or not create_app was told of its class."
_VALIDATOR = (
    "What a validator says with ValueError is a refused action and the session goes on; "
    "0.10 could not write the error down: it ended the session, and HTTP had a 500."
)
_WORDS = "Another wording of the same error."
_JSON_500 = "What an environment raises is answered with 500 and a typed JSON body in place of a plain text."
_COUNTED = "A tool call over JSON-RPC is a step: it counts, and is rewarded and recorded."
_BLOCKS = "Where a client blocks, so do its tool calls; 0.10 returned a coroutine."
_FASTMCP = "FastMCP's own note on how it wrapped the value."
_MORE = "An error tells more: the stable code, the field, a hint. Clients read message and code."
_PAGE = "The page shows what the environment says of itself, as /metadata does."

SERVERS = (
    Accepted("plain_env: GET state", "body.*", _ALL_OF_IT, theirs=ABSENT),
    Accepted("notes_env: GET state", "body.*", _ALL_OF_IT, theirs=ABSENT),
    Accepted("plain_env: the validator, on the server", "text", _VALIDATOR),
    Accepted("plain_env: the session goes on after the validator", "", _VALIDATOR, theirs=False),
    Accepted("plain_env: POST step that the validator refuses", "*", _VALIDATOR),
    Accepted("notes_env: step average_length", "observation.result.meta", _FASTMCP, theirs=None),
    Accepted("notes_env: state by calls", "step_count", _COUNTED, theirs=0),
    Accepted("notes_env: state by calls", "rewarded", _COUNTED, theirs=0.0),
    Accepted("notes_env: rpc tools/call of an unknown tool", "body.error.data", _MORE, theirs=None),
    Accepted("quiz_env: POST * of an absent split", "type", _JSON_500, theirs="text/plain"),
    Accepted("quiz_env: POST * of an absent split", "body", _JSON_500, theirs="Internal Server Error"),
    Accepted("shop_env page: page, take nothing", "type", _JSON_500, theirs="text/plain"),
    Accepted("shop_env page: page, take nothing", "body", _JSON_500, theirs="Internal Server Error"),
    Accepted("shop_env page: page, take nothing", "headers.x-shop", _JSON_500, theirs=ABSENT),
    Accepted("shop_env page: GET /web/metadata", "body.*", _PAGE),
)
"""What our server says differently, whoever asks."""

CLIENTS = (
    Accepted("notes_env: directly, call_tool", "", _BLOCKS, theirs="<coroutine>"),
    Accepted("notes_env: another mode", "text", _WORDS),
    Accepted("slow_env: server of *", "text", _WORDS),
    Accepted("slow_env: both settings", "text", _WORDS),
    Accepted("graded_env: rubric, *", "text", _WORDS),
)
"""What our client, and the rest of what runs in its process, says differently, whatever server it asks."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

Transcripts = dict[str, dict[str, Any]]


class Framework:
    """One of the two: its interpreter, and its servers' addresses by what is exercised there."""

    def __init__(self, python: Path, server: Server, page: Server) -> None:
        self.python = str(python)
        self.urls = dict.fromkeys(NAMES, server.url) | {PAGE: page.url}

    def drive(self, urls: dict[str, str]) -> Transcripts:
        """Exercise these servers under this framework's interpreter."""
        environment = {**os.environ, "PYTHONPATH": str(PACKAGES), "PYTHONWARNINGS": "ignore"}
        command = [self.python, str(EXERCISE), *(f"{name}={url}" for name, url in urls.items())]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        transcripts: Transcripts = json.loads(done.stdout)
        return transcripts


def _with_page(python: Path, servers: Servers) -> Server:
    """The shop as an image runs it: from inside its folder, so that the package has no name; with the web page."""
    environment = {**os.environ, "ENABLE_WEB_INTERFACE": "true", "SHOP_SEATS": "2", "PYTHONWARNINGS": "ignore"}
    command = [str(python), "-m", "uvicorn", "server.app:app", "--host", "127.0.0.1", "--port", "0"]
    return servers.start(command, env=environment, cwd=PACKAGES / "shop_env")


@pytest.fixture(scope="module")
def transcripts(
    mounted: Callable[..., Server], reference_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Transcripts]]:
    """By ``client on server``: what happened. Both servers are driven at the same time, each by one client at a time."""
    with running(tmp_path_factory.mktemp("pages")) as servers, ThreadPoolExecutor(2) as pool:
        own_python = Path(sys.executable)
        pages = pool.submit(lambda: [_with_page(python, servers) for python in (reference_python, own_python)])
        mounts = [mounted(APPS, reference=reference, paths=[PACKAGES]) for reference in (True, False)]
        theirs = Framework(reference_python, mounts[0], pages.result()[0])
        ours = Framework(own_python, mounts[1], pages.result()[1])
        on_theirs, on_ours = pool.map(lambda one: [client.drive(one.urls) for client in (theirs, ours)], (theirs, ours))
        yield {
            "theirs on theirs": on_theirs[0],
            "ours on theirs": on_theirs[1],
            "theirs on ours": on_ours[0],
            "ours on ours": on_ours[1],
        }


@pytest.mark.parametrize(
    ("combination", "accepted"),
    [("ours on theirs", CLIENTS), ("theirs on ours", SERVERS), ("ours on ours", SERVERS + CLIENTS)],
)
def test_a_transcript_is_the_same_or_accepted(
    transcripts: dict[str, Transcripts], combination: str, accepted: tuple[Accepted, ...]
) -> None:
    wrong, used = {}, set()
    for name, difference in _differing(transcripts, combination):
        left, reasons = unexplained(name, difference, accepted)
        used |= reasons
        if left:
            wrong[name] = left
    assert not wrong, "\n".join(f"{name}: {left}" for name, left in wrong.items())
    assert not [one for one in accepted if one not in used], "accepted differences that there are not"


def test_each_transcript_is_of_all_packages_and_counted(transcripts: dict[str, Transcripts]) -> None:
    expected = transcripts["theirs on theirs"]
    assert list(expected) == [*NAMES, PAGE]
    assert {name: len(entries) for name, entries in expected.items() if len(entries) < 12} == {}
    compared = sum(map(len, expected.values())) * (len(transcripts) - 1)
    accepted = sum(len(list(_differing(transcripts, one))) for one in transcripts)
    record(
        "packages",
        {
            "run": len(NAMES),
            "combinations": len(transcripts),
            "compared": compared,
            "equal": compared - accepted,
            "accepted": accepted,
            "reasons": len({one.reason for one in SERVERS + CLIENTS}),
        },
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_package_has_the_layout(name: str) -> None:
    folder = PACKAGES / name
    short = name.removesuffix("_env")
    files = ("__init__.py", "client.py", "models.py", "openenv.yaml", "pyproject.toml", "server/app.py")
    assert not [file for file in (*files, f"server/{short}_environment.py") if not (folder / file).is_file()]
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["server"] == f"{name}.server.app:main"
    assert f"\nname: {name}\n" in (folder / "openenv.yaml").read_text()


def _differing(transcripts: dict[str, Transcripts], combination: str) -> Iterator[tuple[str, list[Any]]]:
    """The entries that are not as under OpenEnv 0.10 alone."""
    expected, found = transcripts["theirs on theirs"], transcripts[combination]
    for package in {**expected, **found}:
        theirs, ours = expected[package], found[package]
        for name in {**theirs, **ours}:
            difference = list(differences(theirs.get(name, ABSENT), ours.get(name, ABSENT)))
            if difference:
                yield f"{package}: {name}", difference
