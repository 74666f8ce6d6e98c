"""What goes wrong in the middle of something: nothing hangs, leaks or is graded that should not be."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import sys
import weakref
from typing import Any

import httpx
import pytest

from openenv import create_app
from openenv.errors import EpisodeOver, ExecutionFailed, ValidationFailed
from openenv.middleware import JsonLog, Metrics
from openenv.operation import Operation, RequestContext, Result
from openenv.runtime.executors import ThreadPool
from openenv.runtime.raised import text_of
from openenv.scenario import Scenario
from tests.support.local import Local, until
from tests.support.toys import AsyncTalker, Heard, InlineTalker, Notes, Say, Talker

ANNA = RequestContext(headers={"x-user": "anna"})


def scenario(**changes: Any) -> Scenario:
    known: dict[str, Any] = {
        "id": "one",
        "task": "Write 'a'.",
        "context": {"x-user": "anna"},
        "verifiers": [{"verifier_type": "tool_calls", "validation_config": {"expected_tools": ["notes_list"]}}],
        "max_steps": 2,
    }
    return Scenario.model_validate(known | changes)


async def test_a_scenario_that_fails_half_way_leaves_nothing_to_step_in_or_to_grade() -> None:
    local = Local(Notes)
    session = await local.open()
    await local.ok("load_scenario", scenario(), session=session)
    broken = scenario(id="two", setup=[{"tool": "notes_add", "arguments": {"text": "half"}}, {"tool": "nope"}])
    assert (await local.run("load_scenario", broken, session=session)).error is not None
    assert isinstance((await local.run("verify", (None, None), session=session)).error, EpisodeOver)
    listed = await local.ok("call_tool", ("notes_list", {}), session=session)
    assert [note["text"] for note in listed.value] == ["buy milk"]
    assert (await local.ok("verify", (None, None), session=session)).value["passed"]
    await local.manager.shutdown()


async def test_calls_that_were_not_recorded_are_not_judged() -> None:
    local = Local(Notes)
    session = await local.open()
    await local.ok("call_tool", ("notes_list", {}), session=session)
    refused = await local.run("verify", (None, scenario().verifiers), session=session)
    assert isinstance(refused.error, ValidationFailed)
    assert "scenario" in refused.error.message
    await local.manager.shutdown()


async def test_under_a_scenario_a_step_that_raises_is_a_try() -> None:
    local = Local(InlineTalker)
    session = await local.open()
    response = {"verifier_type": "response", "validation_config": {"contains": "x"}}
    await local.ok("load_scenario", scenario(verifiers=[response]), session=session)
    for _ in range(2):
        assert isinstance((await local.run("step", Say(text="boom"), session=session)).error, ExecutionFailed)
    assert isinstance((await local.run("step", Say(text="boom"), session=session)).error, EpisodeOver)
    graded = (await local.ok("verify", ("x", None), session=session)).value
    assert [event["success"] for event in graded["events"]] == [False, False]
    assert graded["episode"]["steps"] == 2
    await local.manager.shutdown()


async def test_a_session_whose_creator_is_gone_ends_with_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.runtime.leases.SEATING_S", 0.2)
    local = Local(Talker, lease_s=0.2)
    creating = asyncio.ensure_future(local.open(kind="socket"))
    await asyncio.sleep(0)
    creating.cancel()
    await until(lambda: local.manager.active == 0)
    await local.manager.shutdown()


@pytest.mark.parametrize("kind", [Talker, InlineTalker])
async def test_an_environment_that_exits_takes_nobody_with_it(kind: type[Talker]) -> None:
    class Quitter(kind):  # type: ignore[valid-type,misc]
        def step(self, action: Say) -> Heard:
            if action.text == "quit":
                sys.exit(3)
            heard: Heard = super().step(action)
            return heard

    pool = ThreadPool(shared=1)
    local = Local(Quitter, pool=pool)
    session = await local.open()
    for _ in range(3):
        assert isinstance((await local.run("step", Say(text="quit"), session=session)).error, ExecutionFailed)
    await local.ok("step", Say(text="x"), session=session)
    assert pool.abandoned == 0
    await local.manager.shutdown()


async def test_a_step_that_only_its_world_waits_for_is_not_collected() -> None:
    def wake(reference: weakref.ref[asyncio.Future[None]]) -> None:
        waiting = reference()
        if waiting is not None:
            waiting.set_result(None)

    class Waiter(AsyncTalker):
        async def step(self, action: Say) -> Heard:
            loop = asyncio.get_running_loop()
            waiting: asyncio.Future[None] = loop.create_future()
            loop.call_later(0.05, wake, weakref.ref(waiting))
            await waiting
            return Heard(text="woken")

    local = Local(Waiter)
    session = await local.open()
    step = asyncio.ensure_future(local.run("step", Say(text="x"), session=session))
    await asyncio.sleep(0.01)
    gc.collect()
    assert (await step).error is None
    await local.manager.shutdown()


async def test_shutdown_does_not_wait_for_ever() -> None:
    local = Local(AsyncTalker)
    session = await local.open()
    step = asyncio.ensure_future(local.run("step", Say(text="x", seconds=60), session=session))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(local.manager.shutdown(patience_s=0.1), 15)
    assert (await step).error is not None


async def test_a_middleware_that_is_cancelled_still_answers() -> None:
    class Cancels:
        async def handle(self, operation: Operation, proceed: Any) -> Result:
            if operation.op == "step":
                raise asyncio.CancelledError
            result: Result = await proceed(operation)
            return result

    local = Local(InlineTalker, middleware=[Cancels()])
    session = await local.open()
    failed = await asyncio.wait_for(local.run("step", Say(text="x"), session=session), 15)
    assert isinstance(failed.error, ExecutionFailed)
    await local.manager.shutdown()


def test_an_application_lives_again_on_another_loop_after_its_shutdown() -> None:
    app = create_app(Talker, env_name="again", log=False)

    async def live() -> int:
        transport = httpx.ASGITransport(app=app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://again") as http:
            return (await http.post("/step", json={"action": {"text": "x"}})).status_code

    assert [asyncio.run(live()), asyncio.run(live())] == [200, 200]


async def test_the_log_and_the_metrics_tell_of_a_scenario_what_happened() -> None:
    stream = io.StringIO()
    metrics = Metrics("notes", lambda: 0)
    local = Local(Notes, middleware=[JsonLog("notes", stream), metrics])
    session = await local.open()
    await local.ok("load_scenario", scenario(), session=session)
    for _ in range(2):
        await local.ok("list_tools", session=session)
        await local.ok("call_tool", ("notes_list", {}), session=session, context=ANNA)
    await local.ok("close", session=session)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["session.open", "episode", "session.close"]
    assert (lines[1]["steps"], lines[1]["reward"], lines[1]["done"]) == (2, 1.0, True)
    assert lines[2]["episodes"] == 1
    assert b'openenv_step_duration_seconds_count{env="notes"} 2.0' in metrics.render()
    await local.manager.shutdown()


@pytest.mark.parametrize(
    ("raised", "said"),
    [(ValueError("no"), "no"), (MemoryError(), "MemoryError"), (SystemExit(3), "SystemExit: 3"), (KeyError(), "KeyError")],
)
def test_what_was_raised_is_told_even_where_it_says_nothing(raised: BaseException, said: str) -> None:
    assert text_of(raised) == said
