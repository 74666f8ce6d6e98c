"""Worker processes that answer what nobody asked, or not what was asked: that costs their world, and nobody else anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from openenv.errors import CapacityReached
from openenv.operation import Result
from openenv.runtime.executors.answers import AnswerReader, AnswerWriter
from tests.interop.minimal_v2_client import JSON, MSGPACK
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import Wire, code, step

pytestmark = pytest.mark.e2e

TOOL = {"name": "flood", "arguments": {"kind": "tools", "count": 0}}
ASKED: dict[str, Any] = {
    "step": step("flood", TOOL["arguments"]),  # type: ignore[arg-type]
    "reset": {},
    "call_tool": TOOL,
    "state": {},
    "snapshot": {},
    "fork": {},
}


@pytest.fixture(scope="module")
def forgers(module_serve: Servers) -> Server:
    return module_serve("tests.support.forging_toys:app", cwd=ROOT)


@pytest.fixture(params=[JSON, MSGPACK])
async def wire(forgers: Server, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with Wire(f"{forgers.ws_url}/ws", request.param) as made:
        yield made


@pytest.mark.parametrize("op", ASKED)
async def test_an_answer_that_does_not_fit_ends_its_world(wire: Wire, op: str) -> None:
    for name in ("nothing", "number"):
        (session,) = await wire.open()
        assert code(await wire.ask(id=2, op="step", session=session, data=step("forge", {"name": name}))) is None
        answer = await wire.ask(id=3, op=op, session=session, data=ASKED[op])
        assert code(answer) == "WORKER_CRASHED", (name, answer)
        late = await wire.ask(id=4, op="attach", session=session)
        assert code(late) == "SESSION_ERROR"
        assert await wire.so_far() == []  # every request has had its one answer


@pytest.mark.parametrize("name", ["bytes", "headless", "foreign"])
async def test_what_is_no_snapshot_of_this_environment_is_neither_kept_nor_signed(wire: Wire, name: str) -> None:
    (session,) = await wire.open()
    assert code(await wire.ask(id=2, op="step", session=session, data=step("forge", {"name": name}))) is None
    for number, data in enumerate(({}, {"export": True}), start=3):
        assert code(await wire.ask(id=number, op="snapshot", session=session, data=data)) == "SNAPSHOT_REFUSED"
    assert code(await wire.ask(id=5, op="fork", session=session)) == "SNAPSHOT_REFUSED"
    assert code(await wire.ask(id=6, op="close", session=session)) is None


@pytest.mark.parametrize("kind", ["tools", "notice", "event"])
async def test_a_flood_of_what_nobody_asked_for_harms_nobody(forgers: Server, wire: Wire, kind: str) -> None:
    (session,) = await wire.open()
    before = forgers.log_path.stat().st_size
    await wire.put(id=2, op="step", session=session, data=step("flood", {"kind": kind, "count": 30_000}))
    assert code(await wire.ask(id=3, op="ping")) is None
    assert code(await wire.answer(2)) is None
    assert forgers.log_path.stat().st_size - before < 10_000
    assert code(await wire.ask(id=4, op="close", session=session)) is None


async def test_who_says_that_it_could_not_begin_after_it_has_begun_is_ended_and_costs_nobody_a_session(wire: Wire) -> None:
    (session,) = await wire.open()
    answer = await wire.ask(id=2, op="step", session=session, data=step("flood", {"kind": "dying", "count": 100_000}))
    assert code(answer) == "WORKER_CRASHED"
    for session in await wire.open(3):
        assert code(await wire.ask(id=5, op="close", session=session)) is None


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_nobody_is_told_to_come_back_at_a_time_that_is_none(seconds: float) -> None:
    error = CapacityReached("full", retry_after_s=seconds)
    written = AnswerWriter().write(Result(error=error), "step", seq=1, steps=1, scenario=None)
    with pytest.raises(ValueError, match="retry_after_s"):
        AnswerReader().read(written)
