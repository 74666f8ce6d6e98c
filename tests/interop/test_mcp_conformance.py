"""The official conformance suite at a server of ours: every scenario passes, or is listed with the reason why it does not apply.

A scenario counts as passed when all of its checks succeed, warnings included. Those that do not apply are in
``conformance-*.yaml``; they are not counted, even where they happen to pass because the tool that they need is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.interop.counts import record
from tests.support.node import NodeTools, node_tools
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent
SUITE = "@modelcontextprotocol/conformance/dist/index.js"
PARTLY = {
    "server-stateless": {"sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"},
}
"""Scenarios of which some checks do not apply; all others of theirs have to succeed."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def tools() -> NodeTools:
    return node_tools()


@pytest.fixture(scope="module")
def server(module_serve: Servers) -> Server:
    return module_serve("conformance_server:app", cwd=HERE)


@pytest.fixture(scope="module")
def counts() -> dict[str, Any]:
    """What every test of this module adds to."""
    return {}


def not_applicable(name: str) -> dict[str, str]:
    """The scenarios that are listed, with their reasons."""
    text = (HERE / f"conformance-{name}.yaml").read_text()
    return dict(re.findall(r"^  - (\S+) # (.+)$", text, re.MULTILINE))


def run(tools: NodeTools, version: str, url: str, folder: Path, *options: str) -> dict[str, dict[str, set[str]]]:
    """The ids of each scenario's checks by their status."""
    done = tools.run(version, SUITE, "server", "--url", url, "-o", str(folder), *options, timeout_s=300)
    found: dict[str, dict[str, set[str]]] = {}
    for path in folder.glob("*/checks.json"):
        name = re.sub(r"^server-(.+?)-\d{4}-\d\d-\d\dT.*$", r"\1", path.parent.name)
        statuses: dict[str, set[str]] = {}
        for check in json.loads(path.read_text()):
            statuses.setdefault(check["status"], set()).add(check["id"])
        found[name] = statuses
    assert found, done.stdout + done.stderr
    return found


def judge(found: Mapping[str, Mapping[str, set[str]]], listed: Mapping[str, str]) -> list[str]:
    """The names of those that passed; every scenario that is not listed has to be among them."""
    unknown = set(listed) - set(found)
    assert not unknown, f"the suite has no such scenarios: {sorted(unknown)}"
    failed = {
        name: {status: sorted(ids) for status, ids in statuses.items() if status in ("FAILURE", "WARNING")}
        for name, statuses in found.items()
        if name not in listed and ("FAILURE" in statuses or "WARNING" in statuses or "SUCCESS" not in statuses)
    }
    assert not failed
    for name, expected in PARTLY.items():
        if name in found:
            assert found[name].get("FAILURE", set()) | found[name].get("WARNING", set()) == expected
            assert found[name]["SUCCESS"]
    return sorted(set(found) - set(listed))


def note(counts: dict[str, Any], name: str, passed: list[str], listed: Mapping[str, str]) -> None:
    counts[f"{name} passed"] = passed
    counts[f"{name} not applicable"] = dict(listed)
    record("conformance", counts)


def test_the_latest_release(tools: NodeTools, server: Server, counts: dict[str, Any], tmp_path: Path) -> None:
    listed = not_applicable("0.1.16")
    passed = judge(run(tools, "conformance-latest", f"{server.url}/mcp", tmp_path, "--suite", "all"), listed)
    assert len(passed) + len(listed) == 32
    note(counts, "scenarios of 0.1.16", passed, listed)


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_what_a_revision_requires(
    tools: NodeTools, server: Server, counts: dict[str, Any], tmp_path: Path, revision: str
) -> None:
    url = f"{server.url}/mcp"
    if revision == "2026-07-28":
        # Without a handshake, the session is named by the URL.
        url = f"{server.url}/sessions/{httpx.post(f'{server.url}/sessions').json()['session_id']}/mcp"
    listed = not_applicable(revision)
    passed = judge(run(tools, "conformance-next", url, tmp_path, "--requirements", revision), listed)
    note(counts, f"scenarios of 0.2.0-alpha.12 for {revision}", passed, listed)
