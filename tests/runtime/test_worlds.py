from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from openenv.errors import EpisodeOver, OpenEnvError, SessionError, Unsupported, ValidationFailed
from openenv.runtime.executors import ThreadPool, threads
from openenv.scenario import Scenario
from openenv.types import Observation
from tests.support.local import Local, let_pass, until
from tests.support.toys import AsyncTalker, Gate, InlineTalker, Notes, PinnedTalker, Say, Shout, Talker

KINDS: list[Any] = [Talker, InlineTalker, PinnedTalker, AsyncTalker]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    for kind in KINDS:
        kind.closed.clear()
    Talker.most_at_once = 0


HANG_LIMIT_S = 20.0


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Callable[[Gate], Awaitable[None]]:
    """Once a step is held, so much time passes that it has hung: for its thread too."""
    ahead = 0.0
    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead))

    async def passed(gate: Gate) -> None:
        nonlocal ahead
        await gate.entered()
        ahead += HANG_LIMIT_S + 5.0
        await let_pass(HANG_LIMIT_S + 5.0)

    return passed


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_environment_plays_the_same(kind: Any) -> None:
    local = Local(kind)
    session = await local.open()
    reset = await local.ok("reset", session=session, arguments={"seed": 3})
    assert reset.observation is not None
    assert reset.observation.text == "seed 3"  # type: ignore[attr-defined]
    step = await local.ok("step", Say(text="hi"), session=session)
    assert (step.reward, step.done) == (1.0, False)
    state = await local.ok("state", session=session)
    assert state.value.step_count == 1
    failed = await local.run("step", Say(text="boom"), session=session)
    assert failed.error is not None
    assert failed.error.body() == {"message": "'the talker broke'", "code": "EXECUTION_ERROR"}
    again = await local.ok("step", Say(text="hi"), session=session)
    assert again.observation.count == 2  # type: ignore[union-attr]
    await local.ok("close", session=session)
    assert len(kind.closed) == 1
    await local.manager.shutdown()
    assert len(kind.closed) == 1


@pytest.mark.parametrize("kind", [Talker, AsyncTalker])
async def test_one_operation_at_a_time_and_in_order(kind: Any) -> None:
    local = Local(kind)
    session = await local.open()
    await local.ok("reset", session=session)
    steps = [local.ok("step", Say(text=str(number), seconds=0.002), session=session) for number in range(20)]
    results = await asyncio.gather(*steps)
    assert [result.observation.count for result in results] == list(range(1, 21))  # type: ignore[union-attr]
    assert Talker.most_at_once <= 1
    await local.manager.shutdown()


async def test_affinity_keeps_one_thread_and_no_affinity_keeps_none() -> None:
    local = Local(PinnedTalker, pool=ThreadPool(shared=4, pinned=2))
    sessions = [await local.open() for _ in range(6)]
    seen: dict[str, set[str]] = {session: set() for session in sessions}
    for _ in range(5):
        results = await asyncio.gather(*(local.ok("step", Say(text="x"), session=one) for one in sessions))
        for session, result in zip(sessions, results, strict=True):
            seen[session].add(result.observation.thread)  # type: ignore[union-attr]
    assert all(len(threads) == 1 for threads in seen.values())
    await local.manager.shutdown()


async def test_threads_are_bounded() -> None:
    before = threading.active_count()
    local = Local(Talker, pool=ThreadPool(shared=3))
    sessions = [await local.open() for _ in range(30)]
    await asyncio.gather(*(local.ok("step", Say(text="x", seconds=0.01), session=one) for one in sessions))
    assert threading.active_count() - before <= 3
    await local.manager.shutdown()
    assert len(Talker.closed) == 30


async def test_a_step_before_any_reset_resets_first_and_a_second_reset_begins_anew() -> None:
    local = Local(InlineTalker)
    session = await local.open()
    result = await local.ok("step", Say(text="x"), session=session)
    assert result.episode is not None
    reset = await local.ok("reset", session=session)
    assert reset.episode != result.episode
    assert (await local.ok("state", session=session)).value.step_count == 0
    await local.manager.shutdown()


async def test_the_same_seed_gives_the_same_episode_and_another_a_different_one() -> None:
    local = Local(InlineTalker)
    session = await local.open()
    first = await local.ok("reset", session=session, arguments={"seed": 1})
    second = await local.ok("reset", session=session, arguments={"seed": 1})
    third = await local.ok("reset", session=session, arguments={"seed": 2})
    assert first.episode == second.episode != third.episode
    named = await local.ok("reset", session=session, arguments={"episode_id": "mine"})
    assert named.episode == "mine"
    await local.manager.shutdown()


@pytest.mark.parametrize("arguments", [{"seed": "abc"}, {"seed": 1.5}, {"episode_id": ""}, {"episode_id": 7}, {"start": []}])
async def test_wrong_reset_arguments_are_refused_and_lose_nothing(arguments: dict[str, Any]) -> None:
    local = Local(InlineTalker)
    session = await local.open()
    await local.ok("step", Say(text="x"), session=session)
    refused = await local.run("reset", session=session, arguments=arguments)
    assert isinstance(refused.error, ValidationFailed)
    assert refused.error.code == "VALIDATION_ERROR"
    assert refused.error.field == next(iter(arguments))
    kept = await local.ok("step", Say(text="x"), session=session)
    assert kept.observation.count == 2  # type: ignore[union-attr]
    await local.manager.shutdown()


async def test_a_seed_is_refused_by_an_environment_that_takes_none() -> None:
    class Seedless(InlineTalker):
        def reset(self) -> Any:  # type: ignore[override]
            return super().reset()

    local = Local(Seedless)
    session = await local.open()
    refused = await local.run("reset", session=session, arguments={"seed": 1})
    assert isinstance(refused.error, ValidationFailed)
    await local.ok("reset", session=session, arguments={"seed": None, "unknown": 1})
    await local.manager.shutdown()


async def test_a_transform_is_applied_to_every_observation() -> None:
    class Loud(InlineTalker):
        transform = Shout()

    local = Local(Loud)
    session = await local.open()
    assert (await local.ok("reset", session=session)).observation.text == "SEED NONE"  # type: ignore[union-attr]
    assert (await local.ok("step", Say(text="hi"), session=session)).observation.text == "HI"  # type: ignore[union-attr]
    await local.manager.shutdown()


async def test_terminated_makes_a_step_done() -> None:
    local = Local(InlineTalker)
    session = await local.open()
    assert (await local.ok("step", Say(text="end"), session=session)).done
    await local.manager.shutdown()


async def test_a_hung_lane_fails_its_world_frees_its_slot_and_the_rest_goes_on(hang: Callable[[Gate], Awaitable[None]]) -> None:
    pool = ThreadPool(shared=2, hang_limit_s=HANG_LIMIT_S, max_abandoned=2)
    gate = Gate()
    local = Local(gate.kind, pool=pool)
    hung, other = await local.open(), await local.open()
    holding = asyncio.ensure_future(local.run("step", Say(text="hold"), session=hung))
    await hang(gate)
    lost = await holding
    assert lost.error is not None
    assert lost.error.code == "LANE_LOST"
    assert local.manager.active == 1
    assert pool.abandoned == 1
    await local.ok("step", Say(text="x"), session=other)
    gone = await local.run("step", Say(text="x"), session=hung)
    assert isinstance(gone.error, SessionError)
    gate.open()
    await until(lambda: not pool.abandoned)
    await local.manager.shutdown()
    assert len(Talker.closed) == 1


async def test_when_every_thread_hangs_new_work_is_refused_with_a_hint(hang: Callable[[Gate], Awaitable[None]]) -> None:
    pool = ThreadPool(shared=1, hang_limit_s=HANG_LIMIT_S, max_abandoned=1)
    gate = Gate()
    local = Local(gate.kind, pool=pool)
    session = await local.open()
    holding = asyncio.ensure_future(local.run("step", Say(text="hold"), session=session))
    await hang(gate)
    await holding
    refused = await local.run("create")
    assert refused.error is not None
    assert refused.error.code == "OVERLOADED"
    assert refused.error.hint
    gate.open()
    await until(lambda: not pool.abandoned)
    await local.open()
    await local.manager.shutdown()


async def test_a_hung_pinned_lane_takes_its_lane_mates_with_it(hang: Callable[[Gate], Awaitable[None]]) -> None:
    pool = ThreadPool(pinned=1, hang_limit_s=HANG_LIMIT_S)
    gate = Gate(PinnedTalker)
    local = Local(gate.kind, pool=pool)
    hung, mate = await local.open(), await local.open()
    first = asyncio.ensure_future(local.run("step", Say(text="hold"), session=hung))
    await gate.entered()
    waiting = asyncio.ensure_future(local.run("step", Say(text="x"), session=mate))
    await hang(gate)
    second = await waiting
    assert (await first).error.code == "LANE_LOST"  # type: ignore[union-attr]
    assert second.error is not None
    assert second.error.code == "LANE_LOST"
    gate.open()
    await until(lambda: not pool.abandoned)
    await local.manager.shutdown()


SCENARIO = Scenario.model_validate(
    {
        "id": "add-one",
        "task": "Write down 'call mum'.",
        "context": {"x-user": "anna"},
        "setup": [{"tool": "notes_add", "arguments": {"text": "old"}, "context": {"x-user": "gert"}}],
        "verifiers": [
            {
                "verifier_type": "database_state",
                "validation_config": {
                    "query": "SELECT COUNT(*) FROM notes WHERE text = 'call mum'",
                    "expected_value": 1,
                    "comparison_type": "equals",
                },
            }
        ],
        "allowed_changes": [{"table": "notes", "kinds": ["insert"], "where": {"text": "call mum"}}],
        "max_steps": 3,
    }
)


async def test_a_scenario_sets_up_grades_and_refuses_collateral() -> None:
    from openenv.operation import RequestContext

    local = Local(Notes)
    session = await local.open()
    anna = RequestContext(headers={"x-user": "anna"})
    await local.ok("load_scenario", SCENARIO, session=session)
    notes = await local.ok("call_tool", ("notes_list", {}), session=session, context=anna)
    assert [note["text"] for note in notes.value] == ["buy milk", "old"]
    assert notes.reward == 0.0
    before = (await local.ok("verify", (None, None), session=session)).value
    assert (before["passed"], before["reward"]) == (False, 0.0)
    await local.ok("call_tool", ("notes_add", {"text": "call mum"}), session=session, context=anna)
    after = (await local.ok("verify", (None, None), session=session)).value
    assert (after["passed"], after["reward"]) == (True, 1.0)
    assert [event["tool"] for event in after["events"]] == ["notes_list", "notes_add"]
    assert after["initial"] != after["final"]
    last = await local.ok("call_tool", ("notes_remove", {"number": 1}), session=session, context=anna)
    assert (last.done, last.reward) == (True, 0.0)
    assert isinstance(last.observation, Observation)
    assert (last.observation.truncated, last.observation.stop_reason) == (True, "max_steps")
    harmed = (await local.ok("verify", (None, None), session=session)).value
    assert not harmed["passed"]
    over = await local.run("call_tool", ("notes_list", {}), session=session, context=anna)
    assert isinstance(over.error, EpisodeOver)
    await local.ok("reset", session=session)
    again = await local.ok("call_tool", ("notes_list", {}), session=session, context=anna)
    assert len(again.value) == 2
    await local.manager.shutdown()


async def test_at_the_step_limit_the_reward_is_the_outcome() -> None:
    from openenv.operation import RequestContext

    local = Local(Notes)
    session = await local.open()
    await local.ok("load_scenario", SCENARIO.model_copy(update={"max_steps": 1}), session=session)
    context = RequestContext(headers={"x-user": "anna"})
    last = await local.ok("call_tool", ("notes_add", {"text": "call mum"}), session=session, context=context)
    assert (last.done, last.reward) == (True, 1.0)
    await local.manager.shutdown()


async def test_a_scenario_whose_setup_fails_is_not_loaded() -> None:
    local = Local(Notes)
    session = await local.open()
    broken = SCENARIO.model_copy(update={"setup": [SCENARIO.setup[0].model_copy(update={"tool": "nope"})]})
    refused = await local.run("load_scenario", broken, session=session)
    assert refused.error is not None
    assert "setup call 1 (nope) failed" in refused.error.message
    assert (await local.run("verify", (None, None), session=session)).error is not None
    await local.manager.shutdown()


async def test_what_has_no_tools_and_no_database_says_so() -> None:
    local = Local(InlineTalker)
    session = await local.open()
    cases: list[tuple[str, Any]] = [("call_tool", ("x", {})), ("list_tools", None), ("query", "SELECT 1"), ("export", "final")]
    for op, payload in cases:
        refused = await local.run(op, payload, session=session)
        assert isinstance(refused.error, Unsupported), op
    await local.manager.shutdown()


async def test_a_synchronous_environment_that_returns_a_coroutine_is_told_so() -> None:
    class Confused(InlineTalker):
        async def step(self, action: Say) -> Any:  # type: ignore[override]
            await asyncio.sleep(0)

    local = Local(Confused)
    session = await local.open()
    refused = await local.run("step", Say(text="x"), session=session)
    assert isinstance(refused.error, OpenEnvError)
    assert "AsyncEnvironment" in str(refused.error.hint)
    await local.manager.shutdown()
