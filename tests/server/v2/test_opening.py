"""``open`` where not all of the sessions can be made, and what is kept of snapshots."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from openenv import create_app
from openenv.errors import Overloaded
from openenv.middleware import Hooks
from openenv.operation import Operation, Result
from openenv.server.v2.snapshots import SnapshotStore
from tests.support.processes import ROOT, Servers
from tests.support.v2_asgi import AsgiWire
from tests.support.v2_odd_toys import Odd
from tests.support.v2_wire import Wire, code


@pytest.mark.e2e
async def test_all_sessions_of_an_open_are_made_or_none_is_left(serve: Servers) -> None:
    server = serve("tests.support.v2_odd_toys:brittle_app", cwd=ROOT)
    async with Wire(f"{server.ws_url}/ws") as wire, httpx.AsyncClient(base_url=server.url) as http:
        request = {"id": 1, "op": "open", "data": {"count": 2, "key": "both"}}
        assert code(await wire.ask(**request)) == "FACTORY_ERROR"
        assert (await http.get("/sessions")).json()["sessions"] == []
        assert code(await wire.ask(**request | {"data": {"count": 1, "key": "both"}})) is None  # the key stands for nothing
        assert len((await http.get("/sessions")).json()["sessions"]) == 1


class Making(Hooks):
    """How many sessions are being made, at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def before(self, operation: Operation) -> None:
        if operation.op == "create":
            self.now += 1
            self.most = max(self.most, self.now)

    def after(self, operation: Operation, result: Result) -> None:
        if operation.op == "create":
            self.now -= 1


async def test_a_flood_of_opens_makes_a_few_sessions_of_each_at_a_time() -> None:
    """A connection may have a thousand requests under way, and each may ask for thousands of sessions: most are refused."""
    making = Making()
    app = create_app(Odd, max_sessions=400, middleware=[making], log=False)
    async with AsgiWire(app) as wire:
        for number in range(1, 21):
            wire.put(id=number, op="open", data={"count": 300})
        codes = [code(await wire.next()) for _ in range(20)]
        assert codes.count(None) <= 1
        assert set(codes) <= {None, "CAPACITY_REACHED"}
        assert making.most <= 20 * 32
    await app.state.openenv.shutdown()


def test_all_sessions_together_keep_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SnapshotStore, "MOST_BYTES", 10)
    store = SnapshotStore()
    one: Any = SimpleNamespace(id="one", ended=None, watchers=set())
    two: Any = SimpleNamespace(id="two", ended=None, watchers=set())
    store.put(one, b"12345678")
    with pytest.raises(Overloaded):
        store.put(two, b"123")
    assert store.get(two, store.put(two, b"12")) == b"12"
    for tell in one.watchers:
        tell("closed")
    store.put(two, b"12345678")
