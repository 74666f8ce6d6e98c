"""Worlds in worker processes: what goes wrong in one is typed, quick, and that world's alone."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from openenv import create_app
from openenv.errors import ConfigurationError, OpenEnvError, ToolFailed
from openenv.operation import ANONYMOUS, NO_CONTEXT, Control, Notice, Operation, Principal, RequestContext, Result
from openenv.runtime import EnvironmentSpecification, worker_world
from openenv.runtime.executors import Processes, ProcessPool, keep_from_workers
from openenv.runtime.executors.answers import AnswerReader, AnswerWriter
from openenv.runtime.executors.orders import OrderReader, OrderWriter
from openenv.runtime.session import ForkRequest, SessionRequest
from openenv.server.app import types_of
from openenv.types import State
from snake_env.models import SnakeAction
from tests.support.local import Local, until
from tests.support.process_pairs import FarSnake
from tests.support.process_toys import (
    AsyncBeast,
    DeadFactory,
    Do,
    Done,
    NoFactory,
    ProcessBeast,
    StuckClose,
    StuckFactory,
)

Started = Callable[..., Local]


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    """Makes pipelines over a pool of processes with these settings; shut down at the end."""
    made: list[Local] = []

    def start(factory: Any = ProcessBeast, hang_limit_s: float = 300.0, **settings: Any) -> Local:
        specification = EnvironmentSpecification.of(factory, *types_of(factory), State, "beast")
        processes = Processes(**{"spare": 0} | settings)
        local = Local(factory, workers=ProcessPool(specification, processes, hang_limit_s=hang_limit_s))
        local.manager.start()
        made.append(local)
        return local

    yield start
    for local in made:
        await local.manager.shutdown(5.0)


def alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def children() -> list[str]:
    """The processes that this one has started and not seen the end of."""
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()


async def told(local: Local, session: str, what: str, count: int = 0, text: str = "") -> Any:
    """The observation of a step."""
    return (await local.ok("step", Do(what=what, count=count, text=text), session=session)).observation


async def pid_of(local: Local, session: str) -> int:
    return int((await told(local, session, "pid")).text)


async def test_the_collector_has_little_to_look_through(started: Started) -> None:
    local = started()
    session = await local.open()
    kept, others = (await told(local, session, "loaded")).text.split()
    assert int(kept) > 10 * int(others) > 0


async def lost(local: Local, session: str, action: Do) -> OpenEnvError:
    """Do what ends a world: the error. The session has ended with it, and says why; another world knows nothing of it."""
    other = await local.open()
    await local.ok("reset", session=other)
    pid = await pid_of(local, session)
    error = (await local.run("step", action, session=session)).error
    assert error is not None
    await until(lambda: not alive(pid))
    late = (await local.run("state", session=session)).error
    assert late is not None
    assert late.code == "SESSION_ERROR"
    assert error.message in late.message
    assert (await told(local, other, "say")).count == 1
    await local.run("close", session=other)
    return error


@pytest.mark.parametrize(
    ("action", "details"),
    [
        (Do(what="segfault"), {"signal": "SIGSEGV"}),
        (Do(what="exit", count=3), {"exit_code": 3}),
        (Do(what="exit", count=0), {"exit_code": 0}),
    ],
    ids=["segfault", "exit 3", "exit 0"],
)
async def test_an_environment_that_ends_its_process(started: Started, action: Do, details: dict[str, Any]) -> None:
    local = started()
    error = await lost(local, await local.open(), action)
    assert error.code == "WORKER_CRASHED"
    assert error.details == details
    assert str(next(iter(details.values()))) in error.message


async def test_sys_exit_is_an_exception_like_any_other(started: Started) -> None:
    local = started()
    session = await local.open()
    error = (await local.run("step", Do(what="sys_exit", count=3), session=session)).error
    assert error is not None
    assert error.code == "EXECUTION_ERROR"
    assert (await told(local, session, "say")).count == 2


@pytest.mark.parametrize("piece", [100_000, 50_000_000], ids=["by and by", "at once"])
async def test_a_leak_ends_at_the_limit(started: Started, piece: int) -> None:
    local = started(memory_mb=160)
    error = await lost(local, await local.open(), Do(what="leak", count=piece))
    assert error.code == "WORKER_MEMORY"
    assert error.details == {"limit": "process_memory_mb", "limit_mb": 160}
    assert "process_memory_mb" in error.message
    assert "memory_mb" in (error.hint or "")


@pytest.mark.parametrize("count", [10**9, 10**12], ids=["for its limit", "for the machine"])
async def test_what_cannot_be_had_at_all_ends_no_world(started: Started, count: int) -> None:
    local = started(memory_mb=160)
    session = await local.open()
    error = (await local.run("step", Do(what="take", count=count), session=session)).error
    assert error is not None
    assert error.code == "EXECUTION_ERROR"
    assert (await told(local, session, "say", text="I live")).text == "I live"


async def test_memory_that_no_step_takes_is_seen_too(started: Started) -> None:
    local = started(memory_mb=160)
    session = await local.open()
    await local.ok("step", Do(what="leak_later", count=5_000_000), session=session)
    await until(lambda: session not in local.manager.sessions)
    late = (await local.run("state", session=session)).error
    assert late is not None
    assert "160 MiB" in late.message


@pytest.mark.parametrize("what", ["spin", "deaf_sleep", "stop"])
async def test_what_hangs_is_ended(started: Started, what: str) -> None:
    local = started(hang_limit_s=1.0)
    session = await local.open()
    await local.ok("reset", session=session)
    error = await lost(local, session, Do(what=what))
    assert error.code == "WORKER_TIMEOUT"
    assert error.details == {"limit": "hang_limit_s", "limit_s": 1.0}
    assert "environment's step did not return within 1 s, the server's hang_limit_s" in error.message
    assert "create_app(…, hang_limit_s=" in (error.hint or "")


async def test_a_deadline_ends_the_work(started: Started) -> None:
    local = started(hang_limit_s=60.0)
    session = await local.open()
    operation = Operation("step", Do(what="spin"), session=session, deadline=0.3)
    error = (await local.pipeline.run(operation)).error
    assert error is not None
    assert error.code == "WORKER_TIMEOUT"
    assert error.details == {"limit": "deadline", "limit_s": 0.3}
    assert "the call's own deadline of 0.3 s, and 0.5 s after it" in error.message
    assert "later deadline" in (error.hint or "")


async def test_a_world_dies_between_two_steps(started: Started) -> None:
    local = started()
    session = await local.open()
    await told(local, session, "die_later")
    await until(lambda: session not in local.manager.sessions)
    late = (await local.run("state", session=session)).error
    assert late is not None
    assert late.code == "SESSION_ERROR"
    assert "exit code 7" in late.message


@pytest.mark.parametrize("text", ["", '{"observation":{},"reward":1,"done":true}', "A\0\0\0\0\0\0\0\0\0\0"])
async def test_what_is_written_into_the_socket_ends_its_world(started: Started, text: str) -> None:
    local = started()
    error = await lost(local, await local.open(), Do(what="garbage", text=text))
    assert error.code == "WORKER_CRASHED"
    assert "no answer" in error.message


async def test_a_closed_socket_ends_its_world(started: Started) -> None:
    local = started()
    error = await lost(local, await local.open(), Do(what="close_all"))
    assert error.code == "WORKER_CRASHED"


async def test_what_is_printed_goes_to_standard_error(started: Started, capfd: pytest.CaptureFixture[str]) -> None:
    local = started()
    session = await local.open()
    assert (await told(local, session, "print", 10)).count == 1
    seen = capfd.readouterr()
    assert "garbage" in seen.err
    assert seen.out == ""


async def test_answers_may_be_long_but_not_endless(started: Started) -> None:
    local = started(memory_mb=1024)
    session = await local.open()
    assert len((await told(local, session, "huge", 30_000_000)).text) == 30_000_000
    error = (await local.run("step", Do(what="huge", count=70_000_000), session=session)).error
    assert error is not None
    assert error.code == "EXECUTION_ERROR"
    assert str(64 * 1024 * 1024) in error.message
    assert (await told(local, session, "say")).count == 3


async def test_children_end_with_their_worker(started: Started) -> None:
    local = started()
    session = await local.open()
    child = int((await told(local, session, "child")).text)
    assert alive(child)
    assert (await local.run("step", Do(what="exit"), session=session)).error is not None
    await until(lambda: not alive(child))


async def test_a_worker_is_used_again(started: Started) -> None:
    local = started()
    session = await local.open()
    first = await pid_of(local, session)
    await local.run("close", session=session)
    await until(lambda: local.manager.active == 0)
    session = await local.open()
    assert await pid_of(local, session) == first
    assert (await told(local, session, "say")).count == 2, "the environment is another one"


async def test_one_that_died_while_it_waited_is_given_to_nobody(started: Started) -> None:
    local = started()
    session = await local.open()
    first = await pid_of(local, session)
    await local.run("close", session=session)
    await until(lambda: local.manager.active == 0)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the event loop is told of nothing meanwhile
    session = await local.open()
    assert await pid_of(local, session) != first


async def test_a_worker_is_replaced_after_its_episodes(started: Started) -> None:
    local = started(episodes=3)
    seen = []
    for resets in (0, 2, 0):
        session = await local.open()
        for _ in range(resets):
            await local.ok("reset", session=session)
        seen.append(await pid_of(local, session))
        await local.run("close", session=session)
        await until(lambda: local.manager.active == 0)
    assert seen[0] == seen[1] != seen[2]
    await until(lambda: not alive(seen[0]))


async def test_a_worker_that_is_left_with_a_thread_is_replaced(started: Started) -> None:
    local = started()
    session = await local.open()
    first = await pid_of(local, session)
    await told(local, session, "thread")
    await local.run("close", session=session)
    await until(lambda: not alive(first))
    session = await local.open()
    assert await pid_of(local, session) != first


async def test_none_free_is_a_refusal(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {*children()}
    local = started(limit=2, spare=1)
    sessions = [await local.open(), await local.open()]
    error = (await local.run("create")).error
    assert error is not None
    assert error.code == "CAPACITY_REACHED"
    assert error.details == {"active_workers": 2, "max_workers": 2}
    assert error.message == "No worker process is free: each serves one session at a time, and 2 of the server's 2 do"
    assert "create_app(…, processes=4)" in (error.hint or "")
    assert error.retry_after_s > 0  # type: ignore[attr-defined]
    assert local.manager.active == 2
    assert len({*children()} - others) == 2, "nor is one started to wait ready"
    monkeypatch.setattr("openenv.runtime.room.PATIENCE_S", 15.0)
    ending = asyncio.create_task(local.run("close", session=sessions[0]))
    await asyncio.sleep(0)
    assert await local.open(), "who comes while a world is closed waits for its worker"
    await ending


async def test_many_come_at_once(started: Started) -> None:
    local = started(limit=3)
    found = await asyncio.gather(*(local.run("create") for _ in range(8)))
    assert [one.error is None for one in found] == [True] * 3 + [False] * 5
    told = {one.error.message for one in found if one.error is not None}
    assert all("0 of the server's 3 do, and the other 3 are for callers who came before" in one for one in told)
    pids = {await pid_of(local, one.session) for one in found if one.session is not None}
    assert len(pids) == 3


async def test_no_more_open_files_is_a_refusal_and_leaves_no_process(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    local = started()

    def none_left(pid: int, flags: int = 0) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    before = set(children())
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", none_left)
        refused = await local.run("create", SessionRequest())
    assert refused.error is not None
    assert refused.error.code == "FACTORY_ERROR"
    assert set(children()) <= before
    session = await local.open()
    assert (await told(local, session, "say")).count == 1


def test_workers_need_no_more_open_files_than_there_may_be() -> None:
    program = (
        "import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)); "
        "from openenv.runtime.executors.worker import _take_socket; print(_take_socket().fileno())"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ran = subprocess.run([sys.executable, "-c", program], stdin=theirs.fileno(), capture_output=True, text=True, timeout=30)
    assert ran.stdout.strip() == "31", ran.stderr


async def test_requests_without_a_session_take_turns(started: Started) -> None:
    local = started(limit=2)
    found = await asyncio.gather(*(local.run("step", Do(what="say", text=str(number))) for number in range(12)))
    assert [one.observation.text for one in found] == [str(number) for number in range(12)]  # type: ignore[union-attr]


async def test_a_factory_that_raises_costs_no_worker(started: Started) -> None:
    local = started(NoFactory, limit=1)
    for _ in range(3):
        error = (await local.run("create")).error
        assert error is not None
        assert error.code == "FACTORY_ERROR"
        assert error.details == {"factory_name": "NoFactory"}
    assert local.manager.active == 0


@pytest.mark.parametrize(("factory", "code"), [(DeadFactory, "WORKER_CRASHED"), (StuckFactory, "WORKER_TIMEOUT")])
async def test_a_factory_that_takes_its_process_along(started: Started, factory: Any, code: str) -> None:
    local = started(factory, limit=1, hang_limit_s=1.0)
    for _ in range(2):
        error = (await local.run("create")).error
        assert error is not None
        assert error.code == code
        assert code == "WORKER_CRASHED" or "environment's factory did not return within 1 s" in error.message
    assert local.manager.active == 0


async def test_a_close_that_hangs_is_ended(started: Started) -> None:
    local = started(StuckClose, limit=1, hang_limit_s=1.0)
    session = await local.open()
    first = await pid_of(local, session)
    await local.run("close", session=session)
    await until(lambda: local.manager.active == 0 and not alive(first))
    assert await pid_of(local, await local.open()) != first


async def test_who_goes_away_leaves_no_process_spinning(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_world, "CLOSING_S", 0.2)
    local = started(limit=1)
    session = await local.open()
    pid = await pid_of(local, session)
    running = asyncio.create_task(local.run("step", Do(what="spin"), session=session))
    await asyncio.sleep(0.05)
    await local.run("close", session=session)
    error = (await running).error
    assert error is not None
    assert error.code == "WORKER_TIMEOUT"
    assert error.details == {"limit": "closed", "limit_s": 0.2}
    assert "within 0.2 s after its session was closed" in error.message
    await until(lambda: not alive(pid))
    assert await pid_of(local, await local.open()) != pid


async def test_notices_cancelling_and_what_is_said(started: Started) -> None:
    local = started()
    session = await local.open()
    notices: list[Notice] = []
    control = Control(notices.append)
    operation = Operation("step", Do(what="wait_cancelled"), session=session, control=control)
    running = asyncio.create_task(local.pipeline.run(operation))
    await until(lambda: len(notices) >= 3)
    control.cancel()
    result = await running
    assert result.observation.text == "cancelled"  # type: ignore[union-attr]
    assert notices[0] == Notice("progress", progress=0, total=2000, message="waiting")
    assert (await told(local, session, "say")).count == 2, "cancelling ends no world"


async def test_notices_come_before_their_answer_and_numbers_stay_what_they_were(started: Started) -> None:
    local = started()
    session = await local.open()
    heard: list[Any] = []
    operation = Operation("step", Do(what="count", count=40), session=session, control=Control(heard.append))
    world = local.manager.sessions[session].world
    world.observers.add(lambda _, result: heard.append(result))
    await local.pipeline.run(operation)
    assert len(heard) == 121
    assert isinstance(heard[-1], Result), "the answer is the last"
    expected: list[Notice] = []
    for number in range(40):
        expected.append(Notice("progress", number, 40, "so far"))
        expected.append(Notice("progress", number + 0.5, 40.0))
        expected.append(Notice("log", message={"number": number, "half": number + 0.5, "whole": float(number)}))
    assert list(map(repr, heard[:-1])) == list(map(repr, expected)), "2 is not 2.0"


async def test_what_an_environment_says_a_lot_harms_nobody(started: Started) -> None:
    local = started()
    session = await local.open()
    notices: list[Notice] = []
    control = Control(notices.append)
    operation = Operation("step", Do(what="chatter", count=1500), session=session, control=control)
    result = await local.pipeline.run(operation)
    assert result.error is None
    assert len(notices) + control.dropped == 3000


async def test_a_factory_must_be_found_by_its_name() -> None:
    class Local(ProcessBeast):
        """Of this function alone."""

    for factory in (Local, lambda: ProcessBeast()):
        with pytest.raises(ConfigurationError, match="cannot find its factory") as raised:
            create_app(factory, Do, Done)
        assert "top level of a module" in (raised.value.hint or "")
    create_app(functools.partial(ProcessBeast), Do, Done)


async def test_asynchronous_environments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="AsyncBeast is an AsyncEnvironment"):
        create_app(AsyncBeast, Do, Done)


async def test_an_execution_that_there_is_not_is_refused() -> None:
    misspelt = type("Misspelt", (ProcessBeast,), {"execution": "proces"})
    with pytest.raises(ConfigurationError, match="there is no execution 'proces'") as raised:
        create_app(misspelt, Do, Done)
    assert raised.value.hint == "It is one of inline, thread, process."


def test_every_field_of_an_operation_is_sent_or_the_servers_own() -> None:
    sent = {"op", "payload", "arguments", "include", "control", "principal", "context"}
    own = {"session", "transport", "id", "size", "trace", "deadline", "seq"}
    assert {field.name for field in fields(Operation)} == sent | own
    operation = Operation("reset", (1, 2), {"a": 1}, "s", Principal("me"), RequestContext({"h": "v"}, {"q": "v"}))
    operation.include = frozenset({"state"})
    read = OrderReader().read(OrderWriter(ANONYMOUS, NO_CONTEXT).write(operation), pytest.fail)
    assert {name: getattr(read, name) for name in sent} == {name: getattr(operation, name) for name in sent}


def test_every_field_of_a_result_comes_back() -> None:
    assert {field.name for field in fields(Result)} - {"session", "busy"} == {
        "observation", "reward", "done", "state", "value", "error", "tool", "tool_error", "episode", "seconds",
    }  # fmt: skip
    failed = ToolFailed("no", code="MINE", field="f", details={"more": 1})
    observation = Done(text="é", count=3, done=True, reward=1.0, truncated=True, stop_reason="enough", metadata={"a": [1.5]})
    result = Result(observation, True, True, State(episode_id="e", step_count=3), {"v": None}, None, "t", failed, None, "e", 0.25)
    writer, reader = AnswerWriter(), AnswerReader()
    for _ in range(2):
        answer = reader.read(writer.write(result, "call_tool", seq=7, steps=3, scenario="task"))
        read = answer.result
        assert (answer.seq, answer.steps, answer.scenario) == (7, 3, "task")
        assert read.observation.model_dump() == observation.model_dump()  # type: ignore[union-attr]
        assert read.observation.stop_reason == "enough"  # type: ignore[union-attr]
        assert read.tool_error.body() == failed.body()  # type: ignore[union-attr]
        assert read.state.model_dump() == result.state.model_dump()  # type: ignore[union-attr]
        for name in ("reward", "done", "value", "tool", "episode", "seconds"):
            assert getattr(read, name) == getattr(result, name), name


@pytest.mark.parametrize("length", [0, 1, 30, 60, 61, 200])
def test_bytes_that_are_no_answer_are_an_error(length: int) -> None:
    for filler in (b"\0", b"\1", b"\x7f", b"\xff"):
        if (filler, length) == (b"\0", 60):
            continue  # these are one: a result without anything
        with pytest.raises((ValueError, RecursionError)):
            AnswerReader().read(filler * length)


async def test_a_worker_inherits_no_secret(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_JWT_SECRET", "the server's own")
    monkeypatch.setenv("SIGNING", "under another name")
    keep_from_workers("SIGNING")
    monkeypatch.setenv("BEAST_FOOD", "meat")
    held = os.open(os.devnull, os.O_WRONLY)
    os.set_inheritable(held, True)
    local = started()
    session = await local.open()
    assert (await told(local, session, "environ", text="OPENENV_JWT_SECRET")).text == "absent"
    assert (await told(local, session, "environ", text="SIGNING")).text == "absent"
    assert (await told(local, session, "environ", text="BEAST_FOOD")).text == "meat"
    kinds = (await told(local, session, "descriptors")).text.split()
    os.close(held)
    assert kinds.count("socket") == 1
    assert kinds.count("/dev/null") == 1, "its standard input"


async def test_snapshots_and_forks_between_workers(started: Started) -> None:
    local = started(FarSnake, limit=3)
    session = await local.open()
    await local.ok("reset", session=session, arguments={"seed": 5})
    await local.ok("step", SnakeAction(direction="up"), session=session)
    forked = (await local.ok("fork", ForkRequest(seeds=(None, None)), session=session)).value
    states = [(await local.ok("state", session=one)).value.model_dump(exclude={"episode_id"}) for one in (session, *forked)]
    assert states[0] == states[1] == states[2]
    steps = [(await local.ok("step", SnakeAction(direction="left"), session=one)).observation for one in (session, *forked)]
    assert steps[0].encoded == steps[1].encoded == steps[2].encoded  # type: ignore[union-attr]
    full = (await local.run("fork", ForkRequest(seeds=(None,)), session=session)).error
    assert full is not None
    assert full.code == "CAPACITY_REACHED"


async def test_shutting_down_ends_every_process(started: Started) -> None:
    local = started(limit=4, spare=2)
    sessions = [await local.open() for _ in range(2)]
    pids = [await pid_of(local, session) for session in sessions]
    busy = asyncio.create_task(local.run("step", Do(what="deaf_sleep"), session=sessions[0]))
    await asyncio.sleep(0.05)
    await local.manager.shutdown(0.3)
    assert (await busy).error is not None
    assert not any(alive(pid) for pid in pids)
    assert (await local.run("create")).error.code == "SHUTTING_DOWN"  # type: ignore[union-attr]
    local.manager.start()
    assert await pid_of(local, await local.open()) not in pids
