"""Requests without a session: bounded, in order, and never in a session's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openenv.errors import Overloaded
from openenv.runtime.executors import ThreadPool
from openenv.runtime.stateless import AT_ONCE, WAITING
from tests.support.local import Local, until
from tests.support.toys import AsyncTalker, Gate, Heard, PinnedTalker, Say, Talker


class Waits(AsyncTalker):
    """Its step waits until it is let go; tells how many there are."""

    made = 0
    living = 0
    most = 0
    order: list[str] = []
    go: asyncio.Event

    def __init__(self) -> None:
        super().__init__()
        kind = type(self)
        kind.made += 1
        kind.living += 1
        kind.most = max(kind.most, kind.living)

    async def step(self, action: Say) -> Heard:
        self.order.append(action.text)
        await self.go.wait()
        return await super().step(action)

    async def close(self) -> None:
        type(self).living -= 1


@pytest.fixture
def waits() -> type[Waits]:
    return type("Waits", (Waits,), {"made": 0, "living": 0, "most": 0, "order": [], "go": asyncio.Event()})


@pytest.mark.parametrize("talker", [Talker, PinnedTalker])
async def test_slow_ones_do_not_delay_a_session(talker: Any) -> None:
    gate = Gate(talker)
    local = Local(gate.kind, pool=ThreadPool(shared=1, pinned=1))
    slow = [asyncio.create_task(local.run("step", Say(text="hold"))) for _ in range(4)]
    await gate.entered()
    session = await local.open()
    assert (await local.ok("step", Say(text="x"), session=session)).reward == 1.0
    gate.open()
    assert [result.error for result in await asyncio.gather(*slow)] == [None] * 4
    await local.manager.shutdown()


async def test_so_many_at_once_and_the_next_in_order(waits: type[Waits]) -> None:
    local = Local(waits)
    asked = [str(number) for number in range(AT_ONCE + 20)]
    running = [asyncio.create_task(local.run("step", Say(text=text))) for text in asked]
    await until(lambda: len(waits.order) == AT_ONCE)
    session = await local.open()
    assert (await local.run("reset", session=session)).error is None
    assert waits.made == AT_ONCE + 1
    waits.go.set()
    for text, result in zip(asked, await asyncio.gather(*running), strict=True):
        assert result.error is None
        assert result.observation.text == text  # type: ignore[union-attr]
    assert waits.most <= AT_ONCE + 1
    assert sorted(waits.order[:AT_ONCE], key=int) == asked[:AT_ONCE]
    assert set(waits.order) == set(asked)
    await local.manager.shutdown()


async def test_more_than_may_wait_are_refused_with_when_to_come_back(waits: type[Waits]) -> None:
    local = Local(waits)
    running = [asyncio.create_task(local.run("step", Say(text="x"))) for _ in range(AT_ONCE + WAITING)]
    await until(lambda: len(waits.order) == AT_ONCE)
    refused = (await local.run("step", Say(text="x"))).error
    assert isinstance(refused, Overloaded)
    assert refused.retry_after_s == 1.0
    waits.go.set()
    assert not any(result.error for result in await asyncio.gather(*running))
    assert (await local.run("step", Say(text="x"))).error is None
    await local.manager.shutdown()


async def test_those_that_wait_are_refused_when_the_server_drains(waits: type[Waits]) -> None:
    local = Local(waits)
    running = [asyncio.create_task(local.run("step", Say(text="x"))) for _ in range(AT_ONCE + 5)]
    await until(lambda: len(waits.order) == AT_ONCE)
    draining = asyncio.create_task(local.manager.drain())
    await until(lambda: local.manager.draining)
    waits.go.set()
    await draining
    codes = [result.error.code for result in await asyncio.gather(*running) if result.error]
    assert codes == ["SHUTTING_DOWN"] * 5
    await local.manager.shutdown()


async def test_factories_that_raise_take_no_place() -> None:
    class Fails(Talker):
        def __init__(self) -> None:
            raise KeyError("no")

    local = Local(Fails)
    results = await asyncio.gather(*(local.run("reset") for _ in range(2 * AT_ONCE)))
    assert {result.error.code for result in results if result.error} == {"FACTORY_ERROR"}
    assert (await local.run("reset")).error.code == "FACTORY_ERROR"  # type: ignore[union-attr]
    await local.manager.shutdown()
