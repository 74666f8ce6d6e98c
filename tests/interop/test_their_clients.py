"""OpenEnv 0.10's own clients, its validator and its graders against this server, and against its own."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.interop.compare import Accepted, differences, unexplained
from tests.interop.counts import record
from tests.support.processes import ROOT, Server, Servers

SCRIPT = Path(__file__).parent / "scripts" / "their_clients.py"
ACCEPTED = (Accepted("their clients", "tools.9.step_count", "A tool call over JSON-RPC is a step: it counts."),)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def seen_by(python: Path, *arguments: str) -> Any:
    """What the clients saw."""
    command = [str(python), "-W", "ignore", str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def both(their_server: Server, our_server: Server, reference_python: Path) -> tuple[Any, Any]:
    """What they saw of OpenEnv 0.10's server, and of this one."""
    urls = [their_server.url, our_server.url]
    with ThreadPoolExecutor() as pool:
        theirs, ours = pool.map(lambda url: seen_by(reference_python, url), urls)
    return theirs, ours


def test_their_clients_see_the_same(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    found = list(differences(theirs, ours))
    left, used = unexplained("their clients", found, ACCEPTED)
    assert not left
    assert used == set(ACCEPTED)
    calls = sum(len(part) for part in theirs.values())
    record("their clients", {"calls compared": calls, "equal": calls - len(found), "accepted": len(found)})


def test_validate_passes_every_criterion(both: tuple[Any, Any]) -> None:
    for report in both[1]["validate"]:
        assert report["exit"] == 0, report
        assert len(report["criteria"]) == 6
        assert all(report["criteria"].values())
        assert report["mode"] == ("production" if report["app"] == "production" else "simulation")


def test_every_runtime_grader_passes(both: tuple[Any, Any]) -> None:
    graded = both[1]["graded"]
    assert graded["failure"] is None
    assert graded["exchanges"] == ["reset", "state"] + ["step", "state"] * 3
    grades = {name: grade for name, grade in graded["grades"].items() if name.startswith("runtime.")}
    assert grades == dict.fromkeys(("runtime.reward_well_formed", "runtime.observation_schema", "runtime.state_contract"), "pass")


def test_their_tool_client_on_a_native_environment(serve: Servers, reference_python: Path) -> None:
    """Typed clients of 0.10 refuse keys that they do not know, in observations and in tool errors."""
    server = serve("desk:app", cwd=ROOT / "tests" / "client")
    seen = seen_by(reference_python, server.url, "--native")["native"]
    assert [entry for entry in seen if "raised" in entry] == [seen[4]]
    assert seen[1] == seen[-1] == ["drawer_put", "drawer_list", "owner"]
    assert seen[2]["observation"]["result"] == 1
    assert seen[3] == seen[5]["observation"]["result"] == ["pen"]
    assert seen[4]["raised"] == "RuntimeError"
    cat, nosuch = (entry["observation"] for entry in seen[6:8])
    assert cat["error"] == {"error_type": "execution_error", "message": "Cats do not stay in drawers"}
    assert cat["metadata"]["error"]["code"] == "NOT_A_THING"
    assert nosuch["error"]["error_type"] == "tool_not_found"
