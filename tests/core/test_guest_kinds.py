"""Guests without a server: which methods of an author's class the engine calls, and when a world is free again."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

import pytest

from openenv.core.env_server.guest import guest_type
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_environment import get_server_tools
from openenv.core.env_server.types import Action, Observation, State
from openenv.operation import Control, Operation, Result
from openenv.runtime import EnvironmentSpecification, Pipeline, SessionManager, SessionRequest


class Plain(Environment[Action, Observation, State]):
    """Asynchronous in its reset and not in its step, with methods of its own that have familiar names."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.steps = 0

    async def reset_async(self, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    def reset(self, *args: Any, **kwargs: Any) -> Observation:
        return Observation()

    def step(self, action: Action, **kwargs: Any) -> Observation:
        self.began.set()
        self.go_on.wait()
        self.steps += 1
        return Observation()

    @property
    def state(self) -> State:
        return State(step_count=self.steps)

    def connect(self) -> None:
        self.calls.append("connect")

    def disconnect(self) -> None:
        self.calls.append("disconnect")

    def set_mode(self, mode: str) -> None:
        self.calls.append("set_mode")

    def tool_listings(self) -> list[Any]:
        self.calls.append("tool_listings")
        return []

    def close(self) -> None:
        self.calls.append("close")


class Served:
    """One session of an environment, as a transport sees it."""

    def __init__(self, inner: Environment[Any, Any, Any]) -> None:
        kind = guest_type(lambda: inner, type(inner), mode="simulation", steps_list_tools=False)
        specification = EnvironmentSpecification.of(kind, Action, Observation, State, None)
        self.manager = SessionManager(specification)
        self.pipeline = Pipeline(self.manager, [])
        self.session: str | None = None

    async def run(self, op: Any, payload: Any = None, control: Control | None = None, **more: Any) -> Result:
        return await self.pipeline.run(Operation(op, payload, session=self.session, control=control, **more))

    async def open(self) -> None:
        made = await self.run("create", SessionRequest())
        assert made.error is None
        self.session = made.session


async def test_an_author_may_give_methods_any_name() -> None:
    inner = Plain()
    inner.go_on.set()
    served = Served(inner)
    await served.open()
    for op, payload in (("reset", None), ("step", Action())):
        assert (await served.run(op, payload)).error is None
    refused = await served.run("list_tools")
    assert refused.error is not None
    assert refused.error.code == "UNSUPPORTED"
    await served.manager.shutdown()
    assert inner.calls == ["close"]


async def test_a_world_is_busy_until_its_thread_has_ended_whoever_cancels() -> None:
    inner = Plain()
    served = Served(inner)
    await served.open()
    await served.run("reset")
    control = Control()
    step = asyncio.ensure_future(served.run("step", Action(), control))
    await asyncio.to_thread(inner.began.wait)
    control.cancel()
    state = asyncio.ensure_future(served.run("state"))
    await asyncio.sleep(0.05)
    assert not step.done()
    assert not state.done(), "the environment was asked for its state in the middle of a step"
    inner.go_on.set()
    cancelled = await step
    assert cancelled.error is not None
    assert cancelled.error.code == "CANCELLED"
    assert (await state).value.step_count == 1
    await served.manager.shutdown()


class Alone(Plain):
    """Asks for one thread for all."""

    REQUIRES_SINGLE_THREAD_EXECUTOR = True
    made_on: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.made_on.append(threading.get_ident())
        self.go_on.set()

    def step(self, action: Action, **kwargs: Any) -> Observation:
        return Observation(metadata={"thread": threading.get_ident()})


async def test_one_thread_for_all_sessions_of_an_asynchronous_class_too() -> None:
    kind = guest_type(Alone, Alone, mode="simulation", steps_list_tools=False)
    guests = [await asyncio.to_thread(kind) for _ in range(3)]
    steps = [(await guest.step(Action())).metadata["thread"] for guest in guests[1:]]
    for guest in guests[1:]:
        await guest.close()
    assert (await guests[0].step(Action())).metadata["thread"] == steps[0], "a session that ends takes no thread away"
    await guests[0].close()
    assert {*steps, *Alone.made_on} == {steps[0]}


class Strict(Environment[Action, Observation, State]):
    """Takes what it names, on a thread."""

    def reset(self, seed: int | None = None) -> Observation:
        return Observation(metadata={"seed": seed})

    def step(self, action: Action, **kwargs: Any) -> Observation:
        return Observation(metadata=kwargs)

    @property
    def state(self) -> State:
        return State()


async def test_what_a_client_calls_self_is_nobody_s_argument() -> None:
    served = Served(Strict())
    await served.open()
    reset = await served.run("reset", arguments={"self": 1, "seed": 2})
    assert reset.error is None
    assert reset.observation is not None
    assert reset.observation.metadata == {"seed": 2}
    await served.manager.shutdown()


def test_why_a_server_s_tools_cannot_be_listed() -> None:
    class Broken:
        async def list_tools(self) -> list[Any]:
            raise LookupError("no tools today")

    with pytest.raises(LookupError, match="no tools today"):
        get_server_tools(Broken())
