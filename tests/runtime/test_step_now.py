"""A held session's inline steps take a shorter way than everything else, past none of the rules."""

from __future__ import annotations

from typing import Any

import pytest

from openenv.operation import ANONYMOUS, Control, Operation, Principal, Result
from openenv.scenario import Scenario
from tests.support.local import Local
from tests.support.toys import AsyncTalker, InlineTalker, Say, Talker


async def held(local: Local, principal: Principal = ANONYMOUS) -> str:
    """A session as a socket has it."""
    session = await local.open(principal=principal)
    local.manager.attach(session, principal)
    await local.ok("reset", session=session, principal=principal)
    return session


def step(session: str | None, principal: Principal = ANONYMOUS, **known: Any) -> Operation:
    return Operation("step", Say(text="hi"), session=session, principal=principal, **known)


async def test_only_an_inline_step_of_a_held_session_is_done_at_once() -> None:
    local = Local(InlineTalker)
    session = await held(local)
    done = local.manager.step_now(step(session))
    assert done is not None
    assert done.observation.count == 1  # type: ignore[union-attr]
    for other in [
        step(None),
        step("unknown"),
        step(session, Principal(id="somebody else")),
        step(session, Principal(id="anonymous", session="another")),
        step(await local.open()),
        Operation("state", session=session),
    ]:
        assert local.manager.step_now(other) is None
    for kind in (Talker, AsyncTalker):
        another = Local(kind)
        assert another.manager.step_now(step(await held(another))) is None
        await another.manager.shutdown()
    local.manager.draining = True
    assert local.manager.step_now(step(session)) is None
    assert (await local.ok("close", session=session)).error is None
    await local.manager.shutdown()


async def test_scopes_and_the_end_of_a_token_are_looked_at_with_each_step() -> None:
    local = Local(InlineTalker)
    guest = Principal(id="guest", scopes=frozenset({"create", "reset", "act"}))
    session = await held(local, guest)
    cases = [
        (frozenset({"reset"}), None, "FORBIDDEN"),
        (guest.scopes, 1.0, "UNAUTHENTICATED"),
        (guest.scopes, None, None),
    ]
    for scopes, expires, code in cases:
        refused = await local.pipeline.run(step(session, Principal(id="guest", scopes=scopes, expires=expires)))
        assert (refused.error.code if refused.error is not None else None) == code
    await local.manager.shutdown()


async def test_observers_see_it_and_one_taken_back_is_not_done() -> None:
    local = Local(InlineTalker)
    session = await held(local)
    world = local.manager.sessions[session].world
    seen: list[Result] = []
    world.observers.add(lambda operation, result: seen.append(result))
    result = await local.pipeline.run(step(session))
    assert seen == [result]
    control = Control()
    control.cancel()
    refused = await local.pipeline.run(step(session, control=control))
    assert refused.error is not None
    assert refused.error.code == "CANCELLED"
    assert len(seen) == 1
    await local.manager.shutdown()


@pytest.mark.parametrize("ending", ["closed", "scenario"])
async def test_a_closed_world_and_one_with_a_scenario_take_the_long_way(ending: str) -> None:
    local = Local(InlineTalker)
    session = await held(local)
    if ending == "closed":
        local.manager.sessions[session].world.close("over", lambda: None)
    else:
        answered = {"verifier_type": "response", "validation_config": {"contains": "x"}}
        scenario = Scenario.model_validate({"id": "one", "task": "Say it.", "verifiers": [answered], "max_steps": 1})
        await local.ok("load_scenario", scenario, session=session)
    assert local.manager.step_now(step(session)) is None
    result = await local.pipeline.run(step(session))
    if ending == "closed":
        assert result.error is not None
        assert result.error.code == "SESSION_ERROR"
    else:
        assert result.done
    await local.manager.shutdown()
