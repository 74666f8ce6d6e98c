"""Where a guest's ``state`` is read."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import Any

import pytest

from openenv.core.env_server import Action, Environment, MCPEnvironment, Observation, State
from openenv.core.env_server.guest import guest_type
from openenv.operation import Operation, Result
from openenv.runtime import EnvironmentSpecification, Pipeline, SessionManager, SessionRequest


class Told(State):
    text: str = ""
    thread: int = 0


class Half(Environment[Action, Observation, Told]):
    """Keeps a database that belongs to the thread where the factory ran."""

    def __init__(self) -> None:
        super().__init__()
        self.database = sqlite3.connect(":memory:")

    async def reset_async(self, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Action, **kwargs: Any) -> Observation:
        return Observation()

    @property
    def state(self) -> Told:
        (text,) = self.database.execute("select 'read'").fetchone()
        return Told(text=text, thread=threading.get_ident())

    def close(self) -> None:
        self.database.close()


class Whole(Half):
    async def step_async(self, action: Action, **kwargs: Any) -> Observation:
        return Observation()


class OnTheLoop(Whole):
    """Opens its database on the event loop, where 0.10 reads the state."""

    def __init__(self) -> None:
        Environment.__init__(self)

    async def reset_async(self, *args: Any, **kwargs: Any) -> Observation:
        self.database = sqlite3.connect(":memory:")
        return Observation()

    def close(self) -> None:
        return


class Blocked(Half):
    """Its state is not there before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.go = threading.Event()

    @property
    def state(self) -> Told:
        self.asked.set()
        self.go.wait()
        return super().state


class Breaks(Half):
    @property
    def state(self) -> Told:
        raise KeyError("no state")


async def session_of(factory: Any) -> tuple[Pipeline, str, list[Any]]:
    made: list[Any] = []

    def make() -> Any:
        made.append(factory())
        return made[0]

    kind = guest_type(make, factory, mode="simulation", steps_list_tools=False)
    specification = EnvironmentSpecification.of(kind, Action, Observation, State, None)
    pipeline = Pipeline(SessionManager(specification))
    opened = await pipeline.run(Operation("create", SessionRequest()))
    assert opened.session is not None
    assert (await pipeline.run(Operation("reset", session=opened.session))).error is None
    return pipeline, opened.session, made


def fastmcp_kind() -> Any:
    fastmcp = pytest.importorskip("fastmcp")

    class Tools(MCPEnvironment):
        def __init__(self) -> None:
            super().__init__(fastmcp.FastMCP("tools"))
            self.database = sqlite3.connect(":memory:")

        def reset(self, *args: Any, **kwargs: Any) -> Observation:
            return Observation()

        def _step_impl(self, action: Action, timeout_s: float | None = None, **kwargs: Any) -> Observation:
            return Observation()

        @property
        def state(self) -> Told:
            (text,) = self.database.execute("select 'read'").fetchone()
            return Told(text=text, thread=threading.get_ident())

    return Tools


@pytest.mark.parametrize("kind", [Half, Whole, fastmcp_kind], ids=["half", "whole", "tools"])
@pytest.mark.parametrize("op", ["state", "reset", "step"])
async def test_a_database_that_the_factory_opened_is_there_for_the_state(kind: Any, op: Any) -> None:
    pipeline, session, _ = await session_of(kind() if kind is fastmcp_kind else kind)
    operation = Operation(op, Action() if op == "step" else None, session=session, include=frozenset({"state"}))
    result: Result = await pipeline.run(operation)
    assert result.error is None
    told = result.state
    assert isinstance(told, Told)
    assert told.text == "read"
    assert told.thread != threading.get_ident()
    await pipeline.manager.shutdown()


async def test_what_was_opened_on_the_loop_is_there_too() -> None:
    pipeline, session, _ = await session_of(OnTheLoop)
    result = await pipeline.run(Operation("state", session=session))
    assert result.error is None
    assert (result.value.text, result.value.thread) == ("read", threading.get_ident())
    await pipeline.manager.shutdown()


async def test_a_slow_state_does_not_hold_up_the_event_loop() -> None:
    pipeline, session, made = await session_of(Blocked)
    waiting: list[Result] = []
    assert pipeline.submit(Operation("state", session=session), waiting.append) is None
    await asyncio.to_thread(made[0].asked.wait)  # with the state on the loop this line is never reached
    assert not waiting
    made[0].go.set()
    while not waiting:  # noqa: ASYNC110 - a test's wait
        await asyncio.sleep(0.01)
    assert waiting[0].value.text == "read"
    await pipeline.manager.shutdown()


async def test_what_a_state_raises_is_the_environments_error() -> None:
    pipeline, session, _ = await session_of(Breaks)
    result = await pipeline.run(Operation("state", session=session))
    assert result.error is not None
    assert result.error.code == "EXECUTION_ERROR"
    await pipeline.manager.shutdown()
