"""Ids of protocol v2 that are used for two things at once, with several workers: the two answers are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_workers_v2_hostile import connected_to, left_on, session_of
from tests.support.processes import ROOT, Servers
from tests.support.v2_wire import EVENTS, code, codes, entries, waiting

pytestmark = pytest.mark.e2e

LAST = 2**53 - 1


async def test_an_open_under_the_id_of_a_batch_that_runs(module_serve: Servers, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    url = f"{module_serve('tests.support.v2_toys:workshop_app', '--workers', '2', cwd=ROOT).ws_url}/ws"
    here, there = await left_on(url, 0), await left_on(url, 1)
    owner, keyed = await session_of(url, 1, key="its own")
    wire = await connected_to(url, 0)
    for session in (here, there):
        assert code(await wire.ask(id=3, op="attach", session=session)) is None
    batch: dict[str, Any] = {"id": LAST, "op": "batch", "data": entries({here: waiting(gate), there: waiting(gate)})}
    await wire.put(**batch)
    assert code(await wire.ask(id=LAST, op="open", data={"key": "its own"})) == "ID_REUSED"
    assert (await wire.ask(id=LAST, op="subscribe", data={"events": EVENTS}))["ok"] == {}
    assert (await wire.ask(id=8, op="open", data={"key": "its own"}))["ok"]["sessions"] == [keyed]
    gate.touch()
    assert codes((await wire.answer(LAST))["ok"]["results"]) == [None, None]
    assert (await wire.ask(id=9, op="ping")) == {"id": 9, "ok": {}}
    for one in (wire, owner):
        await one.socket.close()
