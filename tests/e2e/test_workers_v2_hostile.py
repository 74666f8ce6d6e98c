"""Clients of protocol v2 that vanish, repeat themselves and fill what they can, with several workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.interop.minimal_v2_client import JSON, MSGPACK
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import ADD, Wire, code, codes, entries, waiting
from tests.support.worker_toys import home, worker_pids

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def workshop(module_serve: Servers) -> Server:
    return module_serve("tests.support.v2_toys:workshop_app", "--workers", "2", cwd=ROOT)


@pytest.fixture
def url(workshop: Server) -> str:
    return f"{workshop.ws_url}/ws"


async def session_of(url: str, worker: int, key: str | None = None, **more: Any) -> tuple[Wire, str]:
    """A connection to this worker, and a session that it has opened there."""
    while True:
        wire = await Wire(url, **more).__aenter__()
        data = {} if key is None else {"key": key}
        (session,) = (await wire.ask(id=1, op="open", data=data))["ok"]["sessions"]
        if home(session) == worker:
            return wire, session
        await wire.ask(id=2, op="close", session=session)
        await wire.socket.close()


async def left_on(url: str, worker: int) -> str:
    """A session of this worker that no connection holds."""
    wire, session = await session_of(url, worker)
    await wire.socket.close()
    return session


async def connected_to(url: str, worker: int) -> Wire:
    """A connection to this worker, without a session."""
    wire, session = await session_of(url, worker)
    await wire.ask(id=2, op="close", session=session)
    return wire


async def vanish(wire: Wire) -> None:
    wire.lose()
    await wire.socket.wait_closed()


def attached(server: Server, session: str) -> bool:
    return bool(httpx.get(f"{server.url}/sessions/{session}", timeout=15).json()["attached"])


async def test_who_asks_with_a_key_and_vanishes_holds_nothing(workshop: Server, url: str) -> None:
    wire, session = await session_of(url, 0, key="vanishing")
    await vanish(wire)
    for number in range(10):
        wire = await connected_to(url, 1)
        await wire.put(id=3, op="open", data={"key": "vanishing"})
        await asyncio.sleep(0.0005 * number)
        await vanish(wire)
    async with asyncio.timeout(30):
        while attached(workshop, session):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
async def test_a_batch_over_workers_that_is_sent_again_while_it_runs(url: str, encoding: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    here, there = await left_on(url, 0), await left_on(url, 1)
    async with Wire(url, encoding) as wire:
        for session in (here, there):
            await wire.ask(id=2, op="attach", session=session)
            await wire.ask(id=3, op="reset", session=session)
        frame: dict[str, Any] = {"id": 4, "op": "batch", "data": entries({here: waiting(gate), there: waiting(gate)})}
        await wire.put(**frame)
        await wire.put(**frame)
        assert code(await wire.ask(id=4, op="batch", data=entries({here: ADD, there: ADD}))) == "ID_REUSED"
        gate.touch()
        first, second = await wire.answer(4), await wire.answer(4)
        assert first == second
        assert [one["ok"]["observation"]["result"] for one in first["ok"]["results"]] == [1, 1]
        again = await wire.ask(**frame)
        assert again == first
        assert codes((await wire.ask(id=5, op="batch", data=entries({here: ADD, there: ADD})))["ok"]["results"]) == [None, None]


async def test_a_flood_of_subscriptions_is_kept_nowhere(workshop: Server, url: str) -> None:
    def resident() -> int:
        sizes = [Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in worker_pids(workshop)]
        return sum(map(int, sizes)) * 4096

    here, there = await left_on(url, 0), await left_on(url, 1)
    async with Wire(url) as wire:
        before = resident()
        for number in range(60):
            answer = await wire.raw(
                f'{{"id": {number + 1}, "op": "subscribe", "data": {{"events": ["environment"]}}{" " * 2**21}}}'
            )
            assert code(answer) is None
        assert resident() - before < 60 * 2**20
        for session in (here, there):  # and they hold for ways that are made later
            await wire.ask(id=100, op="attach", session=session)
            await wire.ask(id=101, op="step", session=session, data={**ADD, "tool_name": "speak", "arguments": {"text": "hear"}})
            assert (await wire.event("environment"))["session"] == session
        await wire.ask(id=102, op="unsubscribe", data={"events": ["environment"]})
        await wire.ask(id=103, op="step", session=there, data={**ADD, "tool_name": "speak", "arguments": {"text": "deaf"}})
        assert [message for message in await wire.so_far() if message.get("event") == "environment"] == []


@pytest.mark.parametrize("host", ["localhost/mcp?x=", "a b", "user:secret@localhost", "localhost:99999", "[::1"])
async def test_a_host_that_is_none_becomes_no_part_of_a_url(url: str, host: str) -> None:
    there = await left_on(url, 1)
    wire, _ = await session_of(url, 0, headers={"Host": host})
    assert code(await wire.ask(id=2, op="attach", session=there)) is None
    await wire.socket.close()
