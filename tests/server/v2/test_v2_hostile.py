"""Attacks on protocol v2: whatever a client sends and an environment returns costs that request, and nobody and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest

from openenv import create_app
from openenv.errors import SessionError
from openenv.server.v2.snapshots import SnapshotStore
from tests.interop.minimal_v2_client import JSON, MSGPACK
from tests.support.local import let_pass, until
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_asgi import AsgiWire
from tests.support.v2_odd_toys import Odd
from tests.support.v2_wire import Wire, code, codes

pytestmark = pytest.mark.e2e

ODD = "tests.support.v2_odd_toys"
UNSPEAKABLE = ["bytes", "object", "cross", "nested", "bottomless", "metadata"]
NESTED = b"\x91" * 950 + b"\x90"


@pytest.fixture(scope="module")
def odd(module_serve: Servers) -> Server:
    return module_serve(f"{ODD}:odd_app", cwd=ROOT)


@pytest.fixture(scope="module")
def inline(module_serve: Servers) -> Server:
    return module_serve(f"{ODD}:inline_app", cwd=ROOT)


def packed(*parts: Any) -> bytes:
    """Values one after the other; bytes are written down as they are."""
    return b"".join(one if isinstance(one, bytes) else msgpack.packb(one) or b"" for one in parts)


@pytest.mark.parametrize(
    "field",
    [
        packed("other", msgpack.packb(msgpack.Timestamp(1, 0))),
        packed(msgpack.packb(b"key"), 1),
        packed("other", msgpack.packb({b"\xff": 1})),
    ],
    ids=["timestamp", "key", "key-within"],
)
async def test_an_action_that_only_messagepack_can_say_is_refused_like_any_other(inline: Server, field: bytes) -> None:
    async with Wire(f"{inline.ws_url}/ws", MSGPACK) as wire:
        (session,) = await wire.open()
        step = packed(b"\x84", "id", 7, "op", "step", "session", session, "data", b"\x81", field)
        answer = await wire.raw(step)
        assert (answer["id"], code(answer)) == (7, "VALIDATION_ERROR")
        entry = packed(b"\x82", "session", session, "action", b"\x81", field)
        batch = packed(b"\x83", "id", 8, "op", "batch", "data", b"\x81", "entries", b"\x91", entry)
        answer = await wire.raw(batch)
        assert codes(answer["ok"]["results"]) == ["VALIDATION_ERROR"]
        assert code(await wire.ask(id=9, op="step", session=session, data={})) is None


async def test_what_is_nested_too_deeply_is_no_frame_and_costs_nothing_else(inline: Server) -> None:
    async with Wire(f"{inline.ws_url}/ws", MSGPACK) as wire:
        (session,) = await wire.open()
        step = packed(b"\x84", "id", 7, "op", "step", "session", session, "data", b"\x81", "other", NESTED)
        assert code(await wire.raw(step)) == "INVALID_JSON"
        assert code(await wire.ask(id=8, op="step", session=session, data={})) is None


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
@pytest.mark.parametrize("runs", ["odd", "inline"])
async def test_an_observation_that_cannot_be_written_harms_nobody_and_whoever_watches_neither(
    runs: str, encoding: str, request: pytest.FixtureRequest
) -> None:
    url = f"{request.getfixturevalue(runs).ws_url}/ws"
    async with Wire(url, encoding) as wire, Wire(url, JSON) as watcher:
        (session,) = await wire.open()
        await watcher.ask(id=1, op="subscribe", session=session, data={"events": ["step"]})
        for number, what in enumerate(UNSPEAKABLE, start=10):
            answer = await wire.ask(id=number, op="step", session=session, data={"what": what})
            assert code(answer) in (None, "EXECUTION_ERROR")
            await watcher.event("step")
        assert code(await wire.ask(id=90, op="step", session=session, data={})) is None
        assert (await watcher.event("step"))["data"]["done"] is False
        assert code(await wire.ask(id=91, op="close", session=session)) is None


async def test_a_storm_of_cancels_behind_a_full_connection(odd: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with Wire(f"{odd.ws_url}/ws") as wire:
        sessions = await wire.open(17)
        steps = {number: sessions[number % 17] for number in range(2, 2 + 17 * 64)}
        for number, session in steps.items():
            await wire.put(id=number, op="step", session=session, data={"gate": str(gate)})
        for number, session in steps.items():
            await wire.put(id=10_000 + number, op="cancel", session=session, data={"id": number})
        gate.touch()
        for number in steps:
            await wire.answer(number)
            await wire.answer(10_000 + number)
        for session in sessions:
            assert code(await wire.ask(id=20_000, op="step", session=session, data={})) is None


async def test_the_lease_begins_when_what_runs_has_ended(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    app = create_app(Odd, resume_lease_s=60.0, log=False)
    async with AsgiWire(app) as wire:
        (session,) = (await wire.ask(id=1, op="open"))["ok"]["sessions"]
        wire.put(id=2, op="step", session=session, data={"gate": str(gate)})
        await wire.ask(id=3, op="ping")
    sessions = wire.core.manager.sessions
    await let_pass(90.0)
    gate.touch()
    await until(lambda: not sessions[session].world.busy)
    await let_pass(45.0)
    async with AsgiWire(app) as wire:
        assert (await wire.ask(id=4, op="attach", session=session))["ok"]["last_id"] == 2
    await let_pass(90.0)
    assert session not in sessions
    await wire.core.shutdown()


def test_a_snapshot_of_a_session_that_ended_meanwhile_is_not_kept() -> None:
    store = SnapshotStore()
    session: Any = SimpleNamespace(id="one", ended="closed by request", watchers=set())
    with pytest.raises(SessionError):
        store.put(session, b"image")
    session.ended = None
    assert store.put(session, b"image") == "snapshot:1"
    for tell in session.watchers:
        tell("closed")
    assert store._bytes == 0
