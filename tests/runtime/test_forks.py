from __future__ import annotations

import asyncio
import json
import random
import threading
from typing import Any, ClassVar

import pytest

from calendar_env.environment import CalendarEnvironment
from openenv import AsyncEnvironment, Environment, Observation, State
from openenv.environment import Execution
from openenv.errors import CapacityReached, ExecutionFailed, Forbidden, SessionError, SnapshotRefused, Unsupported
from openenv.evaluation import load_suite
from openenv.operation import ALL_SCOPES, Operation, Principal, RequestContext, Result
from openenv.runtime.session import ForkRequest
from openenv.runtime.snapshots import for_strangers, seal, unseal
from openenv.types import Action
from tests.support.local import Local, let_pass, until
from tests.support.toys import Talker

KEY = b"k" * 32


class Roll(Action):
    """Throw a die."""


class Pips(Observation):
    """What it shows."""

    pips: int
    history: list[int]


class Dice(Environment[Roll, Pips, State]):
    """A die whose chance is part of its world."""

    execution: ClassVar[Execution] = "inline"
    snapshot_version: ClassVar[int] = 1
    closed: ClassVar[list[Any]] = []
    fails: ClassVar[bool] = False

    def __init__(self) -> None:
        self.chance = random.Random(0)
        self.history: list[int] = []

    def reset(self, *, seed: int | None = None) -> Pips:
        self.chance.seed(seed)
        self.history = []
        return Pips(pips=0, history=[])

    def step(self, action: Roll) -> Pips:
        self.history.append(self.chance.randint(1, 6))
        return Pips(pips=self.history[-1], history=list(self.history), reward=float(self.history[-1]))

    def snapshot(self) -> bytes:
        return json.dumps([self.history, self.chance.getstate()]).encode()

    def restore(self, image: bytes) -> None:
        if type(self).fails:
            raise ValueError("not today")
        history, (version, inner, gauss) = json.loads(image)
        self.history = history
        self.chance.setstate((version, tuple(inner), gauss))

    def reseed(self, seed: int) -> None:
        if seed < 0:
            raise ValueError("a seed is not negative")
        self.chance.seed(seed)

    def close(self) -> None:
        type(self).closed.append(self)


class LaneDice(Dice):
    """The same on a thread."""

    execution: ClassVar[Execution] = "thread"


class AsyncDice(AsyncEnvironment[Roll, Pips, State]):
    """The same on the loop, with coroutines throughout."""

    snapshot_version: ClassVar[int] = 1

    def __init__(self) -> None:
        self.dice = Dice()

    async def reset(self, *, seed: int | None = None) -> Pips:
        return self.dice.reset(seed=seed)

    async def step(self, action: Roll) -> Pips:
        await asyncio.sleep(0)
        return self.dice.step(action)

    async def snapshot(self) -> bytes:
        return self.dice.snapshot()

    async def restore(self, image: bytes) -> None:
        self.dice.restore(image)

    async def reseed(self, seed: int) -> None:
        self.dice.reseed(seed)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Dice.closed.clear()
    Dice.fails = False


async def rolls(local: Local, session: str, number: int) -> list[int]:
    seen = []
    for _ in range(number):
        result = await local.ok("step", Roll(), session=session)
        assert isinstance(result.observation, Pips)
        seen.append(result.observation.pips)
    return seen


async def fork(local: Local, session: str, *seeds: int | None, **known: Any) -> list[str]:
    forked: list[str] = (await local.ok("fork", ForkRequest(seeds), session=session, **known)).value
    return forked


@pytest.mark.parametrize("kind", [Dice, LaneDice, AsyncDice])
async def test_forks_go_on_as_the_parent_does_until_they_are_reseeded(kind: Any) -> None:
    local = Local(kind)
    parent = await local.open(kind="free")
    await local.ok("reset", arguments={"seed": 7, "episode_id": "the-episode"}, session=parent)
    before = await rolls(local, parent, 3)
    same, other, third = await fork(local, parent, None, 5, 5)
    ahead = await rolls(local, parent, 10)
    assert await rolls(local, same, 10) == ahead
    different = await rolls(local, other, 10)
    assert different != ahead
    assert await rolls(local, third, 10) == different
    state = (await local.ok("state", session=same)).value
    assert (state.episode_id, state.step_count) == ("the-episode", 13)
    observed = (await local.ok("step", Roll(), session=other)).observation
    assert isinstance(observed, Pips)
    assert observed.history[:3] == before
    listed = {one.id: one.describe() for one in local.manager.visible(Principal("anonymous"))}
    assert listed[same]["parent"] == parent
    assert listed[parent]["parent"] is None
    await local.manager.shutdown()
    assert not local.manager.active


async def test_a_fork_outlives_its_parent_and_they_share_nothing() -> None:
    local = Local(LaneDice)
    parent = await local.open(kind="free")
    await local.ok("reset", arguments={"seed": 1}, session=parent)
    (child,) = await fork(local, parent, None)
    await local.ok("close", session=parent)
    assert len(await rolls(local, child, 5)) == 5
    await local.manager.shutdown()
    assert len(Dice.closed) == 2


async def test_there_is_room_for_all_forks_or_for_none() -> None:
    local = Local(Dice, max_sessions=4)
    parent = await local.open(kind="free")
    await local.ok("reset", session=parent)
    with pytest.raises(CapacityReached):
        await fork(local, parent, *[None] * 4)
    assert local.manager.active == 1
    await fork(local, parent, *[None] * 3)
    assert local.manager.active == 4
    await local.manager.shutdown()
    assert local.manager.active == 0


@pytest.mark.parametrize("reason", ["restore", "seed", "factory"])
async def test_when_one_fork_fails_all_are_gone_and_their_places_are_free(reason: str) -> None:
    made: list[Dice] = []

    def make() -> Dice:
        if reason == "factory" and len(made) == 3:
            raise OSError("no more dice")
        made.append(Dice())
        return made[-1]

    local = Local(make)
    parent = await local.open(kind="free")
    await local.ok("reset", session=parent)
    Dice.fails = reason == "restore"
    result = await local.run("fork", ForkRequest((1, 2, -3 if reason == "seed" else 3)), session=parent)
    assert result.error is not None
    assert result.error.code == ("FACTORY_ERROR" if reason == "factory" else "SNAPSHOT_REFUSED")
    await until(lambda: local.manager.active == 1)
    assert len(Dice.closed) == len(made) - 1
    assert await rolls(local, parent, 1)
    await local.manager.shutdown()


async def test_who_may_fork_and_what_can_be_forked() -> None:
    local = Local(Dice)
    parent = await local.open(kind="free")
    agent = Principal("anonymous", scopes=frozenset({"act", "reset"}))
    bound = Principal("agent", scopes=ALL_SCOPES, session=parent)
    for principal in (agent, bound):
        refused = await local.run("fork", ForkRequest((None,)), session=parent, principal=principal)
        assert isinstance(refused.error, Forbidden)
    stranger = await local.run("fork", ForkRequest((None,)), session=parent, principal=Principal("eve"))
    assert isinstance(stranger.error, SessionError)
    await local.manager.shutdown()

    other = Local(Talker)
    plain = await other.open(kind="free")
    for op, payload in (("fork", ForkRequest((None,))), ("snapshot", False), ("restore", (b"", None))):
        assert isinstance((await other.run(op, payload, session=plain)).error, Unsupported)
    assert other.manager.active == 1
    await other.manager.shutdown()


async def test_forks_wait_for_the_running_step_and_leases_end_them() -> None:
    held, go = threading.Event(), threading.Event()

    class Slow(LaneDice):
        def step(self, action: Roll) -> Pips:
            held.set()
            go.wait(10)
            return super().step(action)

    local = Local(Slow, lease_s=60.0)
    parent = await local.open(kind="free")
    await local.ok("reset", arguments={"seed": 3}, session=parent)
    step = asyncio.create_task(local.run("step", Roll(), session=parent))
    await until(held.is_set)
    forking = asyncio.create_task(fork(local, parent, None))
    await asyncio.sleep(0.05)
    assert not forking.done()
    go.set()
    await step
    (child,) = await forking
    assert (await local.ok("state", session=child)).value.step_count == 1
    await let_pass(90.0)
    assert not local.manager.sessions
    ended = await local.run("state", session=child)
    assert ended.error is not None
    assert "no request for 60 s" in ended.error.message
    await local.manager.shutdown()


async def test_a_snapshot_is_put_back_as_often_as_one_likes() -> None:
    local = Local(Dice)
    session = await local.open(kind="free")
    await local.ok("reset", arguments={"seed": 9}, session=session)
    await rolls(local, session, 2)
    image = (await local.ok("snapshot", False, session=session)).value
    ahead = await rolls(local, session, 6)
    for _ in range(3):
        restored = await local.ok("restore", (image, None), session=session)
        assert restored.value["step_count"] == 2
        assert await rolls(local, session, 6) == ahead
    elsewhere = await local.open(kind="free")
    await local.ok("restore", (image, None), session=elsewhere)
    assert await rolls(local, elsewhere, 6) == ahead
    await local.manager.shutdown()


@pytest.mark.parametrize("kind", [Dice, LaneDice, AsyncDice])
async def test_what_was_never_reset_is_reset_before_it_is_copied(kind: Any) -> None:
    local = Local(kind)
    session = await local.open(kind="free")
    (child,) = await fork(local, session, None)
    parents, childs = [(await local.ok("state", session=one)).value for one in (session, child)]
    assert parents.episode_id == childs.episode_id is not None
    assert await rolls(local, child, 5) == await rolls(local, session, 5)
    await local.manager.shutdown()


async def test_an_image_of_something_else_is_refused_and_changes_nothing() -> None:
    class Other(Dice):
        snapshot_version: ClassVar[int] = 2

    local, other = Local(Dice), Local(Other)
    session, foreign = await local.open(kind="free"), await other.open(kind="free")
    await local.ok("reset", arguments={"seed": 1}, session=session)
    image = (await local.ok("snapshot", False, session=session)).value
    before = await rolls(local, session, 1)
    refused = await other.run("restore", (image, None), session=foreign)
    assert isinstance(refused.error, SnapshotRefused)
    for broken in (b"", b"OpenEnv1", image[5:]):
        assert (await local.run("restore", (broken, None), session=session)).error is not None
    Dice.fails = True
    failed = await local.run("restore", (image, None), session=session)
    assert isinstance(failed.error, SnapshotRefused)
    observed = (await local.ok("step", Roll(), session=session)).observation
    assert isinstance(observed, Pips)
    assert observed.history[:1] == before
    await local.manager.shutdown()
    await other.manager.shutdown()


@pytest.mark.parametrize(("what", "other"), [("environment", "another"), ("version", 2), ("types", "0" * 32)])
async def test_an_image_names_its_environment_version_and_types(what: str, other: Any) -> None:
    local = Local(Dice)
    session = await local.open(kind="free")
    image: bytes = (await local.ok("snapshot", False, session=session)).value
    end = 12 + int.from_bytes(image[8:12], "big")
    header = json.dumps(json.loads(image[12:end]) | {what: other}).encode()
    altered = image[:8] + len(header).to_bytes(4, "big") + header + image[end:]
    refused = await local.run("restore", (altered, None), session=session)
    assert isinstance(refused.error, SnapshotRefused)
    assert f"snapshot's {what}" in refused.error.message
    await local.manager.shutdown()


def test_only_what_was_sealed_with_the_key_is_unsealed() -> None:
    sealed = seal(b"an image", KEY)
    assert unseal(sealed, KEY) == b"an image"
    for forged in (b"", b"x" * 31, sealed[:-1], sealed[:-1] + b"f", bytes(32) + b"an image", seal(b"an image", b"other" * 8)):
        with pytest.raises(SnapshotRefused):
            unseal(forged, KEY)


async def test_what_leaves_the_server_has_no_scenario_in_it() -> None:
    local = Local(CalendarEnvironment)
    session = await local.open(kind="free")
    scenario = load_suite("calendar").scenarios[0]
    alice = RequestContext(headers=scenario.context)
    await local.ok("load_scenario", scenario, session=session, context=alice)
    image: bytes = (await local.ok("snapshot", True, session=session)).value
    assert b"verifiers" in image
    exported = for_strangers(image)
    assert b"verifiers" not in exported
    assert len(exported) < len(image)
    await local.ok("restore", (exported, None), session=session)
    plain = await local.open(kind="free")
    refused = await local.run("restore", (exported, None), session=plain)
    assert isinstance(refused.error, SnapshotRefused)
    (forked,) = await fork(local, session, None)
    assert (await graded(local, forked)).value["passed"] == (await graded(local, session)).value["passed"]
    await local.manager.shutdown()


async def graded(local: Local, session: str) -> Result:
    return await local.ok("verify", (None, None), session=session)


async def test_a_failing_snapshot_is_the_environments_error() -> None:
    class Broken(Dice):
        def snapshot(self) -> bytes:
            raise OSError("disk")

    local = Local(Broken)
    session = await local.open(kind="free")
    result = await local.run("fork", ForkRequest((None, None)), session=session)
    assert isinstance(result.error, ExecutionFailed)
    assert local.manager.active == 1
    operation = Operation("state", session=session)
    assert (await local.pipeline.run(operation)).error is None
    await local.manager.shutdown()
