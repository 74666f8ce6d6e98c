"""Both frameworks serve the same toys, and every exchange is compared. The golden file holds what OpenEnv 0.10 says."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.interop.accepted import ACCEPTED
from tests.interop.cases import EXCHANGES
from tests.interop.compare import differences, unexplained
from tests.interop.counts import record
from tests.interop.exchange import Socket, perform_all
from tests.support.processes import Server, Servers

GOLDEN = Path(__file__).parent / "golden" / "openenv-0.10.0.json"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def theirs(their_server: Server) -> dict[str, list[Any]]:
    """What OpenEnv 0.10 answers."""
    return asyncio.run(perform_all(EXCHANGES, their_server.url))


@pytest.fixture(scope="module")
def ours(our_server: Server) -> dict[str, list[Any]]:
    """What this project answers."""
    return asyncio.run(perform_all(EXCHANGES, our_server.url))


def test_names_are_unique() -> None:
    assert len({one.name for one in EXCHANGES}) == len(EXCHANGES) > 400


def test_the_golden_file_is_what_openenv_says(theirs: dict[str, list[Any]]) -> None:
    """``INTEROP_RECORD=1`` writes it anew."""
    if os.environ.get("INTEROP_RECORD"):
        lines = [f"{json.dumps(name)}: {json.dumps(seen, sort_keys=True)}" for name, seen in sorted(theirs.items())]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert json.loads(GOLDEN.read_text()) == theirs


def test_every_answer_is_equal_or_accepted(ours: dict[str, list[Any]]) -> None:
    golden: dict[str, list[Any]] = json.loads(GOLDEN.read_text())
    assert golden.keys() == ours.keys()
    wrong, used, equal = {}, set(), 0
    for name, theirs in golden.items():
        found = list(differences(theirs, ours[name]))
        equal += not found
        left, reasons = unexplained(name, found, ACCEPTED)
        used |= reasons
        if left:
            wrong[name] = left
    assert not wrong, "\n".join(f"{name}: {left[0]}" for name, left in wrong.items())
    assert not [one for one in ACCEPTED if one not in used], "accepted differences that there are not"
    record(
        "exchanges",
        {
            "compared": len(golden),
            "equal": equal,
            "accepted": len(golden) - equal,
            "reasons": len({one.reason for one in ACCEPTED}),
        },
    )


async def test_the_door_says_the_same(serve: Servers) -> None:
    """``openenv serve`` takes frames past ASGI; what it answers is what the application answers under any server."""
    server = serve("toys.plain:echo", cwd=Path(__file__).parent)
    golden: dict[str, list[Any]] = json.loads(GOLDEN.read_text())
    sockets = [one for one in EXCHANGES if isinstance(one, Socket) and one.path.startswith("/echo/")]
    moved = [replace(one, path=one.path.removeprefix("/echo")) for one in sockets]
    seen = await perform_all(moved, server.url)
    assert len(seen) >= 10
    for name, ours in seen.items():
        left, _ = unexplained(name, list(differences(golden[name], ours)), ACCEPTED)
        assert not left, name
