from __future__ import annotations

import asyncio
from typing import Any

import pytest

from openenv import Context
from openenv.errors import CapacityReached, FactoryFailed, Forbidden, SessionError, ShuttingDown
from openenv.operation import ALL_SCOPES, Principal, RequestContext
from openenv.runtime import SessionRequest
from tests.support.local import Local, let_pass, until
from tests.support.toys import Gate, InlineTalker, Say, Talker

ANNA, BERT = Principal("anna"), Principal("bert")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Talker.closed.clear()
    InlineTalker.closed.clear()


async def test_capacity_is_a_typed_refusal_with_a_hint_and_a_closed_session_frees_its_slot() -> None:
    local = Local(Talker, max_sessions=2)
    first = await local.open()
    await local.open(kind="free")
    with pytest.raises(CapacityReached) as refused:
        await local.open()
    assert refused.value.body()["active_sessions"] == 2
    assert refused.value.retry_after_s > 0
    await local.ok("close", session=first)
    await local.open()
    await local.manager.shutdown()


async def test_simultaneous_creates_never_exceed_the_limit() -> None:
    local = Local(Talker, max_sessions=5)
    results = await asyncio.gather(*(local.run("create") for _ in range(40)))
    assert sum(result.error is None for result in results) == 5
    await local.manager.shutdown()
    assert len(Talker.closed) == 5


async def test_a_factory_gets_the_context_and_the_principal_and_its_failure_is_typed() -> None:
    seen: list[Any] = []

    def make(context: Context, who: Principal, extra: int = 1) -> InlineTalker:
        seen.append((context.header("x-notebook"), context.query.get("a"), who.id, extra))
        if context.query.get("a") == "fail":
            raise OSError("the disk is full")
        return InlineTalker()

    local = Local(make)
    context = RequestContext(headers={"x-notebook": "n"}, query={"a": "b"})
    assert (await local.run("create", context=context, principal=ANNA)).error is None
    assert seen == [("n", "b", "anna", 1)]
    failed = await local.run("create", context=RequestContext(query={"a": "fail"}), principal=ANNA)
    assert isinstance(failed.error, FactoryFailed)
    assert failed.error.body()["factory_name"] == "make"
    assert "disk" not in failed.error.message
    assert local.manager.active == 1
    await local.manager.shutdown()


async def test_a_session_is_its_principals_alone() -> None:
    local = Local(InlineTalker)
    session = await local.open(kind="free", principal=ANNA)
    stolen = await local.run("step", Say(text="x"), session=session, principal=BERT)
    unknown = await local.run("step", Say(text="x"), session="no-such-session", principal=BERT)
    assert isinstance(stolen.error, SessionError)
    assert isinstance(unknown.error, SessionError)
    assert stolen.error.message.replace(session, "ID") == unknown.error.message.replace("no-such-session", "ID")
    assert local.manager.visible(BERT) == []
    other_tenant = Principal("anna", tenant="elsewhere")
    assert isinstance((await local.run("state", session=session, principal=other_tenant)).error, SessionError)
    await local.manager.shutdown()


async def test_a_principal_bound_to_a_session_has_that_session_and_no_other() -> None:
    local = Local(InlineTalker)
    session, other = await local.open(kind="free", principal=ANNA), await local.open(kind="free", principal=ANNA)
    agent = Principal("agent", scopes=frozenset({"act"}), session=session)
    await local.ok("step", Say(text="x"), session=session, principal=agent)
    assert isinstance((await local.run("step", Say(text="x"), session=other, principal=agent)).error, SessionError)
    assert isinstance((await local.run("reset", session=session, principal=agent)).error, Forbidden)
    assert isinstance((await local.run("verify", (None, []), session=session, principal=agent)).error, Forbidden)
    wide = Principal("agent", scopes=ALL_SCOPES, session=session)
    assert isinstance((await local.run("create", principal=wide)).error, Forbidden)
    assert isinstance((await local.run("step", Say(text="x"), principal=wide)).error, Forbidden)
    await local.manager.shutdown()


async def test_sessions_of_one_named_world_share_it_and_it_closes_with_the_last() -> None:
    local = Local(Talker)
    first, second = await asyncio.gather(local.open("w"), local.open("w"))
    alone = await local.open()
    await local.ok("step", Say(text="x"), session=first)
    shared = await local.ok("step", Say(text="x"), session=second)
    assert shared.observation.count == 2  # type: ignore[union-attr]
    private = await local.ok("step", Say(text="x"), session=alone)
    assert private.observation.count == 1  # type: ignore[union-attr]
    await local.ok("close", session=first)
    assert Talker.closed == []
    await local.ok("close", session=second)
    assert len(Talker.closed) == 1
    await local.manager.shutdown()


async def test_a_named_world_admits_nobody_but_its_owner() -> None:
    local = Local(InlineTalker)
    await local.open("w", principal=ANNA)
    with pytest.raises(Forbidden):
        await local.open("w", principal=BERT)
    elsewhere = Principal("bert", tenant="elsewhere")
    await local.open("w", principal=elsewhere)
    await local.manager.shutdown()


async def test_a_name_is_taken_again_only_after_the_old_world_was_closed() -> None:
    gate = Gate()
    local = Local(gate.kind)
    first = await local.open("w")
    running = asyncio.ensure_future(local.run("step", Say(text="hold"), session=first))
    await gate.entered()
    local.manager.end(local.manager.sessions[first], "gone")
    opening = asyncio.ensure_future(local.open("w"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (opening.done(), Talker.closed) == (False, [])
    gate.open()
    second = await opening
    assert len(Talker.closed) == 1
    assert (await running).error is None
    fresh = await local.ok("step", Say(text="x"), session=second)
    assert fresh.observation.count == 1  # type: ignore[union-attr]
    await local.manager.shutdown()


async def test_an_implicit_session_is_found_again_also_by_simultaneous_requests() -> None:
    local = Local(Talker)
    request = SessionRequest(world_name="w", implicit=True)
    results = await asyncio.gather(*(local.run("create", request) for _ in range(10)))
    assert len({result.session for result in results}) == 1
    assert local.manager.active == 1
    await local.manager.shutdown()


async def test_a_lease_runs_out_without_requests_and_is_renewed_by_them() -> None:
    local = Local(Talker, lease_s=60.0)
    idle, used = await local.open(kind="free"), await local.open(kind="free")
    attached = await local.open(kind="free")
    socket = await local.open(kind="socket")
    held = local.manager.attach(attached, local.manager.sessions[attached].principal)
    local.manager.attach(socket, held.principal)
    while idle in local.manager.sessions:
        await let_pass(20.0)
        await local.ok("state", session=used)
    assert set(local.manager.sessions) == {used, attached, socket}
    gone = await local.run("state", session=idle)
    assert isinstance(gone.error, SessionError)
    assert "no request for 60 s" in gone.error.message
    local.manager.detach(held)
    await let_pass(90.0)
    assert attached not in local.manager.sessions
    assert socket in local.manager.sessions
    await local.manager.shutdown()


async def test_a_session_that_was_made_for_a_socket_waits_for_it() -> None:
    """However short the lease is, and however long a busy event loop takes to get there."""
    local = Local(Talker, lease_s=0.05)
    free, socket = await local.open(kind="free"), await local.open(kind="socket")
    await until(lambda: free not in local.manager.sessions)
    local.manager.attach(socket, local.manager.sessions[socket].principal)
    await local.manager.shutdown()


async def test_attaching_twice_is_refused_and_closing_an_attached_session_waits_for_its_socket() -> None:
    local = Local(InlineTalker)
    session = await local.open(kind="free")
    held = local.manager.attach(session, local.manager.sessions[session].principal)
    with pytest.raises(SessionError, match="already has an attached WebSocket"):
        local.manager.attach(session, held.principal)
    answer = await local.ok("close", session=session)
    assert answer.value == {"session_id": session, "closed": False, "closing": True}
    await local.ok("step", Say(text="x"), session=session)
    local.manager.detach(held)
    assert session not in local.manager.sessions
    await local.manager.shutdown()


async def test_closing_during_a_step_lets_it_end_refuses_what_waits_and_closes_once() -> None:
    gate = Gate()
    local = Local(gate.kind)
    session = await local.open()
    running = asyncio.ensure_future(local.run("step", Say(text="hold"), session=session))
    waiting = asyncio.ensure_future(local.run("step", Say(text="y"), session=session))
    await gate.entered()
    closing = asyncio.ensure_future(local.run("close", session=session))
    assert isinstance((await waiting).error, SessionError)
    assert Talker.closed == []
    gate.open()
    assert (await running).error is None
    await closing
    assert len(Talker.closed) == 1
    await local.manager.shutdown()


async def test_draining_finishes_what_began_and_takes_nothing_new() -> None:
    gate = Gate()
    local = Local(gate.kind)
    session = await local.open()
    running = asyncio.ensure_future(local.run("step", Say(text="hold"), session=session))
    queued = asyncio.ensure_future(local.run("step", Say(text="y"), session=session))
    await gate.entered()
    draining = asyncio.ensure_future(local.manager.drain())
    await asyncio.sleep(0)
    for op in ("create", "step"):
        refused = await local.run(op, Say(text="z"), session=session if op == "step" else None)
        assert isinstance(refused.error, ShuttingDown)
    gate.open()
    await draining
    assert (await running).error is None
    assert (await queued).error is None
    await local.manager.shutdown()
    assert len(Talker.closed) == 1


async def test_without_a_session_an_operation_gets_a_world_of_its_own_that_is_closed_again() -> None:
    local = Local(Talker, max_sessions=1)
    await local.open()
    results = await asyncio.gather(*(local.ok("step", Say(text="x")) for _ in range(5)))
    assert [result.observation.count for result in results] == [1] * 5  # type: ignore[union-attr]
    assert len(Talker.closed) == 5
    assert isinstance((await local.run("verify", (None, []))).error, SessionError)
    await local.manager.shutdown()
