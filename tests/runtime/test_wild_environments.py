"""Environments that raise what nobody should, hang, or close slowly: their session ends well, and nobody else's is touched."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from openenv import Action, AsyncEnvironment, Environment, Observation, State
from openenv.errors import CapacityReached, ExecutionFailed
from tests.support.local import Local, until


class Speechless(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class OwnBase(BaseException):
    """Derived from where nobody should derive."""


WILD = [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, OwnBase, asyncio.CancelledError, Speechless, RecursionError]


class Raising(Environment[Action, Observation, State]):
    """Raises in step and close."""

    kind: type[BaseException] = RuntimeError
    closed = 0

    def reset(self) -> Observation:
        return Observation()

    def step(self, action: Action) -> Observation:
        raise self.kind

    def close(self) -> None:
        type(self).closed += 1
        raise self.kind


class InlineRaising(Raising):
    """On the loop."""

    execution = "inline"


class AsyncRaising(AsyncEnvironment[Action, Observation, State]):
    """As a coroutine."""

    kind: type[BaseException] = RuntimeError
    closed = 0

    async def reset(self) -> Observation:
        return Observation()

    async def step(self, action: Action) -> Observation:
        await asyncio.sleep(0)
        raise self.kind

    async def close(self) -> None:
        type(self).closed += 1
        raise self.kind


@pytest.mark.parametrize("base", [Raising, InlineRaising, AsyncRaising])
@pytest.mark.parametrize("kind", WILD)
async def test_whatever_is_raised_is_an_execution_error(base: Any, kind: type[BaseException]) -> None:
    made: Any = type(base.__name__, (base,), {"kind": kind, "closed": 0})
    local = Local(made)
    session = await local.open()
    for _ in range(2):
        result = await local.run("step", Action(), session=session)
        assert isinstance(result.error, ExecutionFailed), result.error
        assert type(result.error) is ExecutionFailed
    assert (await local.run("close", session=session)).error is None
    assert made.closed == 1
    assert local.manager.active == 0


class Wild(Environment[Action, Observation, State]):
    """Its factory raises."""

    kind: type[BaseException] = RuntimeError

    def __init__(self) -> None:
        raise self.kind

    def reset(self) -> Observation:
        raise AssertionError

    def step(self, action: Action) -> Observation:
        raise AssertionError


@pytest.mark.parametrize("kind", WILD)
async def test_whatever_a_factory_raises_is_a_factory_error(kind: type[BaseException]) -> None:
    local = Local(type("Wild", (Wild,), {"kind": kind}))
    result = await local.run("create")
    assert result.error is not None
    assert result.error.code == "FACTORY_ERROR"
    assert local.manager.active == 0


class Slow(Environment[Action, Observation, State]):
    """Its steps and its close wait to be let go."""

    live = 0
    most = 0
    stepping = threading.Event()
    step_may_end = threading.Event()
    close_may_end = threading.Event()

    def __init__(self) -> None:
        Slow.live += 1
        Slow.most = max(Slow.most, Slow.live)

    def reset(self) -> Observation:
        return Observation()

    def step(self, action: Action) -> Observation:
        self.stepping.set()
        assert self.step_may_end.wait(10)
        return Observation()

    def close(self) -> None:
        assert self.close_may_end.wait(10)
        Slow.live -= 1


@pytest.fixture
def slow() -> type[Slow]:
    Slow.live = Slow.most = 0
    for event in (Slow.stepping, Slow.step_may_end, Slow.close_may_end):
        event.clear()
    return Slow


async def test_a_place_is_free_when_the_environment_has_ended(slow: type[Slow]) -> None:
    """A client that leaves in the middle of a step does not make room for another instance."""
    local = Local(slow, max_sessions=1)
    session = await local.open()
    stepping = asyncio.ensure_future(local.run("step", Action(), session=session))
    await until(slow.stepping.is_set)
    local.manager.end(local.manager.sessions[session], "its socket closed")
    assert local.manager.active == 1
    with pytest.raises(CapacityReached):
        await local.open()
    slow.step_may_end.set()
    slow.close_may_end.set()
    await stepping
    await until(lambda: local.manager.active == 0)
    await local.open()
    assert slow.most == 1


async def test_who_comes_while_a_place_is_given_up_waits_for_it(slow: type[Slow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.runtime.room.PATIENCE_S", 15.0)
    local = Local(slow, max_sessions=1)
    session = await local.open()
    local.manager.end(local.manager.sessions[session], "its socket closed")
    coming = asyncio.ensure_future(local.open())
    second = asyncio.ensure_future(local.open())
    with pytest.raises(CapacityReached):
        await second
    assert not coming.done()
    slow.close_may_end.set()
    assert await coming in local.manager.sessions
    assert slow.most == 1


async def test_the_lease_begins_when_the_operation_ends(slow: type[Slow]) -> None:
    local = Local(slow, lease_s=60)
    session = await local.open(kind="free")
    held = local.manager.sessions[session]
    stepping = asyncio.ensure_future(local.run("step", Action(), session=session))
    await until(slow.stepping.is_set)
    held.expires = 0.001
    slow.step_may_end.set()
    await stepping
    assert held.expires > asyncio.get_running_loop().time() + 50
    slow.close_may_end.set()
