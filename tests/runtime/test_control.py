"""How a caller and a running operation reach each other, and who learns of what when the world ends meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from openenv.environment import AsyncEnvironment
from openenv.errors import SessionError
from openenv.operation import Control, Notice
from openenv.types import Action, Observation, State
from tests.support.local import Local, until


class Endless(AsyncEnvironment[Action, Observation, State]):
    """A step that ends with its world only."""

    stops_when_closed = True
    running: ClassVar[list[Endless]] = []

    async def reset(self) -> Observation:
        return Observation()

    async def step(self, action: Action) -> Observation:
        self.running.append(self)
        await asyncio.Event().wait()
        return Observation()


async def test_a_step_that_ends_with_its_session_says_why() -> None:
    local = Local(Endless)
    session = await local.open()
    step = asyncio.ensure_future(local.run("step", Action(), session=session))
    await until(lambda: Endless.running)
    await local.ok("close", session=session)
    error = (await step).error
    assert isinstance(error, SessionError)
    assert "closed by request" in error.message
    Endless.running.clear()
    await local.manager.shutdown()


async def test_notices_of_many_threads_are_counted_well() -> None:
    heard: list[Notice] = []
    control = Control(heard.append)

    def talk() -> None:
        for number in range(100):
            control.tell(Notice("progress", progress=number))

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(asyncio.to_thread(talk))
    await until(lambda: len(heard) + control.dropped == 800)
    assert control._waiting == 0


async def test_a_flood_of_notices_is_dropped_and_counted() -> None:
    heard: list[Notice] = []
    control = Control(heard.append)

    def flood() -> None:
        for _ in range(Control.LIMIT + 5):
            control.tell(Notice("log", message="x"))

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join()
    assert control.dropped == 5
    await until(lambda: len(heard) == Control.LIMIT)


def test_a_thread_that_outlives_its_server_may_still_talk() -> None:
    async def serve() -> tuple[Control, Callable[[], None] | None, Local]:
        local = Local(Endless)
        session = await local.open()
        play: Any = local.manager.sessions[session].world.play
        told = play.environment.on_tools_changed
        await local.manager.shutdown()
        return Control(lambda notice: None), told, local

    control, told, _ = asyncio.run(serve())
    failed: list[BaseException] = []

    def talk() -> None:
        try:
            control.tell(Notice("log", message="still here"))
            assert told is not None
            told()
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=talk)
    thread.start()
    thread.join()
    assert not failed
    assert control.dropped == 1
