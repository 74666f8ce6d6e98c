"""docs/compatibility.md says every accepted difference with its reason, in the words of the tests that hold it."""

from __future__ import annotations

import pytest

from tests.interop import accepted, test_harness, test_packages, test_rubrics, test_server_side, test_their_clients
from tests.support.processes import ROOT

DIFFERENCES = {
    "The wire": accepted.ACCEPTED,
    "Clients": test_their_clients.ACCEPTED,
    "The server side's names": test_server_side.ACCEPTED,
    "Rubrics and clients of language models": test_rubrics.ACCEPTED,
    "Harnesses and collecting": test_harness.ACCEPTED,
    "Environment packages": (*test_packages.SERVERS, *test_packages.CLIENTS),
}


@pytest.mark.parametrize("part", DIFFERENCES)
def test_every_reason_is_documented(part: str) -> None:
    text = (ROOT / "docs" / "compatibility.md").read_text()
    listed = text.split(f"\n### {part}\n")[1].split("\n#")[0]
    found = [line.removeprefix("- ") for line in listed.splitlines() if line.startswith("- ")]
    assert found == list(dict.fromkeys(one.reason for one in DIFFERENCES[part]))
