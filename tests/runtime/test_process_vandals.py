"""Worker processes that are killed, stopped or vandalised in every phase: a typed error, the server goes on, nothing is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.test_process_servers import is_there, opened, step, workers_of
from tests.support.local import until
from tests.support.processes import ROOT, Server, Servers
from tests.support.v2_wire import Wire, code
from tests.support.vandal_toys import HELD

pytestmark = pytest.mark.e2e

PHASES: dict[str, tuple[str, dict[str, Any]]] = {
    "factory": ("open", {}),
    "reset": ("reset", {}),
    "step": ("step", {}),
    "snapshot": ("snapshot", {}),
    "close": ("close", {}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def vandals(module_serve: Servers, folder: Path) -> Server:
    return module_serve("tests.support.vandal_toys:app", cwd=ROOT, env={HELD: str(folder)})


def in_use(server: Server) -> int:
    """The open files of the server that are no worker's: each has a socket and a process's file."""
    return len(os.listdir(f"/proc/{server.pid}/fd")) - 2 * len(workers_of(server))


@pytest.fixture(scope="module")
def unused(vandals: Server) -> int:
    """The open files that the server has while nobody uses it, and after somebody has."""
    with opened(vandals) as socket:
        step(socket, "nothing")
    seen = [in_use(vandals)]
    while len(seen) < 10 or len(set(seen[-10:])) > 1:
        time.sleep(0.05)
        seen.append(in_use(vandals))
    return seen[-1]


@pytest.fixture
async def wire(vandals: Server, folder: Path, unused: int) -> AsyncIterator[Wire]:
    """A connection; when it is closed, the server still serves, and has no more open files than it had."""
    async with Wire(f"{vandals.ws_url}/ws") as made:
        yield made
        for name in PHASES:
            (folder / name).unlink(missing_ok=True)
        (session,) = (await made.ask(id=89, op="open", data={}))["ok"]["sessions"]
        assert code(await made.ask(id=90, op="step", session=session, data={})) is None
        assert code(await made.ask(id=91, op="close", session=session)) is None
    await until(lambda: in_use(vandals) <= unused)
    assert len(workers_of(vandals)) <= 4
    assert not any(told in vandals.log() for told in ("Exception in callback", "never retrieved", "socket.send()"))


async def held_in(folder: Path, phase: str, known: set[str]) -> int:
    """The process that has come to this phase, and waits there."""
    found: list[str] = []

    def reached() -> bool:
        found[:] = [path.name for path in folder.glob(f"in-{phase}-*") if path.name not in known]
        return bool(found)

    await until(reached)
    return int(found[0].rpartition("-")[2])


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_is_killed_or_stopped(vandals: Server, folder: Path, wire: Wire, phase: str, sent: signal.Signals) -> None:
    op, data = PHASES[phase]
    keys: dict[str, Any] = {}
    if op != "open":
        (keys["session"],) = await wire.open()
    known = set(os.listdir(folder))
    (folder / phase).touch()
    await wire.put(id=50, op=op, data=data, **keys)
    pid = await held_in(folder, phase, known)
    os.kill(pid, sent)
    (folder / phase).unlink()
    answer = await wire.answer(50)
    expected = "WORKER_CRASHED" if sent == signal.SIGKILL else "WORKER_TIMEOUT"
    assert code(answer) == (None if op == "close" else expected)
    if op != "close" and sent == signal.SIGSTOP:
        assert answer["error"]["limit"] == "hang_limit_s"
        assert f"environment's {phase} did not return" in answer["error"]["message"]
    await until(lambda: not is_there(pid))


async def test_a_worker_is_killed_while_it_starts(vandals: Server, folder: Path, wire: Wire) -> None:
    known = set(os.listdir(folder))
    (folder / "start").touch()
    spare = workers_of(vandals)
    for pid in spare:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not any(map(is_there, spare)))
    await wire.put(id=50, op="open", data={})
    pid = await held_in(folder, "start", known)
    assert code(await wire.ask(id=51, op="ping")) is None  # the open waits for the one that starts
    os.kill(pid, signal.SIGKILL)
    (folder / "start").unlink()
    answer = await wire.answer(50)
    assert code(answer) == "FACTORY_ERROR"
    assert "SIGKILL" in answer["error"]["message"]


async def test_one_that_waits_ready_is_killed(vandals: Server, wire: Wire) -> None:
    spare = workers_of(vandals)
    for pid in spare:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: set(workers_of(vandals)).isdisjoint(spare))


@pytest.mark.parametrize(
    ("what", "count", "ends"),
    [
        ("close_standard_files", 0, [None]),
        ("close_every_file", 0, ["WORKER_CRASHED"]),
        ("take_the_places_of_every_file", 0, ["WORKER_CRASHED"]),
        ("ignore_sigterm", 0, [None]),
        ("exit_when_collected", 0, [None]),
        ("raise_when_collected", 0, [None]),
        ("raise_in_reduce", 0, ["EXECUTION_ERROR"]),
        ("exit_in_reduce", 0, ["EXECUTION_ERROR"]),
        ("shout", 100_000_000, [None]),
        ("show", 200_000_000, ["EXECUTION_ERROR", "WORKER_MEMORY"]),
        ("long_line", 100_000_000, ["WORKER_CRASHED"]),
        ("endless_frame", 0, ["WORKER_TIMEOUT"]),
        ("drip", 0, ["WORKER_TIMEOUT"]),
    ],
)
async def test_an_environment_does_its_worst(wire: Wire, what: str, count: int, ends: list[str | None]) -> None:
    other, session = await wire.open(2)
    answer = await wire.ask(id=50, op="step", session=session, data={"what": what, "count": count})
    assert code(answer) in ends, answer
    lives = code(answer) in (None, "EXECUTION_ERROR")
    again = await wire.ask(id=51, op="step", session=session, data={})
    assert code(again) == (None if lives else "SESSION_ERROR")
    if lives:
        assert code(await wire.ask(id=52, op="close", session=session)) is None
    assert code(await wire.ask(id=53, op="step", session=other, data={})) is None
    assert code(await wire.ask(id=54, op="close", session=other)) is None


async def test_children_do_not_outlive_their_worker(wire: Wire) -> None:
    (session,) = await wire.open()
    answer = await wire.ask(id=50, op="step", session=session, data={"what": "fork", "count": 3})
    children = [int(pid) for pid in answer["ok"]["observation"]["text"].split()]
    assert all(map(is_there, children))
    pid = (await wire.ask(id=51, op="step", session=session, data={}))["ok"]["observation"]["text"]
    os.kill(int(pid), signal.SIGKILL)
    await until(lambda: not any(map(is_there, children)))
    # They end before the server has read all that the worker may have written: a step in between is told of the crash.
    assert code(await wire.ask(id=52, op="step", session=session, data={})) in ("WORKER_CRASHED", "SESSION_ERROR")
    assert code(await wire.ask(id=53, op="step", session=session, data={})) == "SESSION_ERROR"


async def test_two_processes_that_both_answer_for_one_world_end_it(vandals: Server, wire: Wire) -> None:
    (session,) = await wire.open()
    await wire.ask(id=50, op="step", session=session, data={"what": "fork_and_answer_twice"})
    assert code(await wire.ask(id=51, op="ping")) is None
    number = 52
    while code(await wire.ask(id=number, op="step", session=session, data={})) != "SESSION_ERROR":
        number += 1
    await until(lambda: len(workers_of(vandals)) <= 4)
