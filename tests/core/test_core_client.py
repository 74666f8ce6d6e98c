"""OpenEnv 0.10's client, in each way that it may be used, against our own server."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from collections.abc import Callable

import pytest

from openenv import errors
from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.generic_client import GenericAction, GenericEnvClient
from openenv.core.sync_client import SyncEnvClient
from tests.core.clients import BlockingClient, EchoClient, Heard, Say, ShoutingClient
from tests.support.processes import Server


def test_the_same_object_without_a_loop(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    assert client.base_url == echo.url
    result = client.reset(seed=1)
    assert isinstance(result, StepResult)
    assert isinstance(result.observation, Heard)
    result = client.step(Say(message="hi"), timeout_s=3)
    assert (result.observation.echoed, result.reward, result.done) == ("hi", 0.2, False)
    assert client.state().step_count == 1
    client.close()
    client.close()


async def test_the_same_object_with_await(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    assert await client.connect() is client
    await client.reset()
    assert (await client.step(Say(message="abc"))).observation.length == 3
    assert (await client.state()).step_count == 1
    await client.disconnect()
    await client.close()


def test_with_gives_the_client_itself(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    with client as entered:
        assert entered is client
        assert entered.reset().observation.echoed == ""
        assert entered.step(Say(message="x")).reward == 0.1


async def test_async_with_gives_the_client_itself(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    async with client as entered:
        assert entered is client
        await entered.reset()
        assert (await entered.step(Say(message="x"))).reward == 0.1


def test_a_client_that_always_blocks(echo: Server) -> None:
    with EchoClient(base_url=echo.url).sync() as env:
        assert isinstance(env, SyncEnvClient)
        assert isinstance(env.async_client, EchoClient)
        assert env.base_url == echo.url
        env.reset(seed=3)
        assert env.step(Say(message="four")).observation.length == 4
        assert env.state().step_count == 1
        with pytest.raises(AttributeError, match="nosuch"):
            env.nosuch  # noqa: B018
    assert env.reset().done is False, "reset opens a new session after close"
    env.disconnect()
    env.close()


async def test_a_blocking_client_where_a_loop_runs(echo: Server) -> None:
    with EchoClient(base_url=echo.url).sync() as env:
        env.reset()
        assert env.step(Say(message="no")).observation.echoed == "no"


async def test_calls_are_coroutines_for_asyncio(echo: Server) -> None:
    async with EchoClient(base_url=echo.url) as client:
        begun, said, state = await asyncio.gather(client.reset(), client.step(Say(message="g")), client.state())
        assert (begun.observation.echoed, said.observation.echoed, state.step_count) == ("", "g", 1)
        assert (await asyncio.create_task(client.step(Say(message="t")))).observation.echoed == "t"
        assert (await asyncio.wait_for(client.state(), 5)).step_count == 2
    fresh = EchoClient(base_url=echo.url)
    task = asyncio.create_task(fresh.reset())
    assert "reset" in repr(task) or "Task" in repr(task)
    assert (await task).observation.echoed == ""
    await fresh.close()


async def test_a_call_that_nobody_awaits_is_done_when_it_is_looked_at(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    result = client.reset()
    assert "pending" in repr(result)
    assert result.observation.echoed == ""
    assert result.done is False
    assert "StepResult" in repr(result)
    assert client.step(Say(message="notebook")).observation.length == 8
    client.close()


async def test_an_awaited_call_may_be_awaited_again(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    pending = client.reset()
    assert await pending is await pending
    await client.close()


async def test_a_forgotten_await_is_a_warning(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    with pytest.warns(RuntimeWarning, match=r"reset\(\) was never awaited"):
        client.reset()


async def test_the_first_use_decides(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    await client.reset()
    with pytest.raises(RuntimeError, match="in async use"):
        client.sync().reset()
    with pytest.raises(RuntimeError, match="in async use"), client:
        pass
    await client.close()
    with client:
        assert client.reset().done is False, "close() frees the choice"


def test_blocking_use_is_not_async_use(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)
    client.reset()

    async def enter() -> None:
        async with client:
            pass

    with pytest.raises(RuntimeError, match="in sync use"):
        asyncio.run(enter())
    client.close()


def test_a_client_of_a_loop_that_has_ended(echo: Server) -> None:
    client = EchoClient(base_url=echo.url)

    async def begin() -> None:
        await client.reset()
        await client.close()

    asyncio.run(begin())
    assert client.reset().done is False
    client.close()


# Subclasses of all kinds.


async def test_overridden_coroutines(echo: Server) -> None:
    async with ShoutingClient(base_url=echo.url) as client:
        assert (await client.reset()).observation.metadata == {"shouting": True}
        assert await client.shout("hi") == "HI"


def test_overridden_coroutines_in_blocking_use(echo: Server) -> None:
    with ShoutingClient(base_url=echo.url).sync() as env:
        assert env.reset().observation.metadata == {"shouting": True}
        assert env.shout("hi") == "HI"
        assert env.prefix() == "!"


def test_overridden_blocking_verbs(echo: Server) -> None:
    with BlockingClient(base_url=echo.url) as client:
        client.reset()
        assert client.step(Say(message="a")).metadata == {"steps": 1}
    with BlockingClient(base_url=echo.url).sync() as env:
        env.reset()
        assert env.step(Say(message="a")).metadata == {"steps": 1}


def test_the_hooks_can_be_called_by_themselves() -> None:
    client = EchoClient(base_url="http://test")
    facade = client.sync()
    for hooks in (client, facade):
        assert hooks._step_payload(Say(message="a")) == {"message": "a"}
        assert hooks._parse_result({"observation": {"echoed": "b"}, "reward": 1}).observation.echoed == "b"
        assert hooks._parse_state({"step_count": 4}).step_count == 4


def test_the_hooks_must_be_there() -> None:
    with pytest.raises(TypeError, match="_parse_result"):
        EnvClient(base_url="http://test")  # type: ignore[abstract]


def test_dicts_in_and_out(echo: Server) -> None:
    with GenericEnvClient(base_url=echo.url) as client:
        assert client.reset().observation == {"metadata": {}, "echoed": "", "length": 0}
        assert client.step({"message": "a"}).observation["echoed"] == "a"
        assert client.step(GenericAction(message="b")).reward == 0.1
        assert client.step(Say(message="c")).observation["echoed"] == "c"
        assert client.state()["step_count"] == 3
        with pytest.raises(ValueError, match="not str"):
            client.step("d")  # type: ignore[arg-type]
    assert repr(GenericAction(message="b")) == "GenericAction(message='b')"
    assert GenericEnvClient(base_url="http://test")._parse_result({}) == StepResult({})


def test_a_result_takes_more_attributes() -> None:
    result = StepResult(observation=1, reward=True)
    result.extra = "what a client wants to keep"  # type: ignore[attr-defined]
    assert vars(result) == {
        "observation": 1,
        "reward": True,
        "done": False,
        "metadata": None,
        "extra": "what a client wants to keep",
    }


# Sessions.


async def test_sessions_of_their_own(echo: Server) -> None:
    async with EchoClient(base_url=echo.url) as first:
        await first.reset(episode_id="first")
        second = await first.new_session()
        assert type(second) is EchoClient
        await second.reset(episode_id="second")
        await second.step(Say(message="x"))
        assert [(await client.state()).episode_id for client in (first, second)] == ["first", "second"]
        assert [(await client.state()).step_count for client in (first, second)] == [0, 1]
    with pytest.raises(errors.SessionLost):
        await second.state()


def test_sessions_of_their_own_in_blocking_use(echo: Server) -> None:
    with EchoClient(base_url=echo.url).sync() as first:
        first.reset(episode_id="first")
        second = first.new_session()
        assert isinstance(second, SyncEnvClient)
        second.reset(episode_id="second")
        assert [first.state().episode_id, second.state().episode_id] == ["first", "second"]
        first.disconnect()
        assert second.state().episode_id == "second", "disconnect() concerns one session"
        second.close()
        first.reset()
    assert open_sessions(echo) == 0


def test_sessions_of_their_own_end_with_the_first_one(echo: Server) -> None:
    threads = set(threading.enumerate())
    first = EchoClient(base_url=echo.url)
    first.reset()
    second, third = first.new_session(), first.new_session()
    assert second.state().step_count == third.state().step_count == 0
    first.disconnect()
    third.close()
    assert second.step(Say(message="x")).reward == 0.1
    first.close()
    assert open_sessions(echo) == 0
    assert set(threading.enumerate()) <= threads
    with pytest.raises(errors.SessionLost):
        second.state()
    second.reset()
    second.close()


def open_sessions(server: Server) -> int:
    """How many sessions the server counts."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as response:
        text = response.read().decode()
    return int(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("openenv_active_sessions")))


def test_an_unclosed_client_says_so_and_frees_its_session(echo: Server) -> None:
    clients = [EchoClient(base_url=echo.url)]
    clients[0].reset()
    before = open_sessions(echo)
    with pytest.warns(ResourceWarning, match="unclosed"):
        clients.clear()
    assert becomes(lambda: open_sessions(echo) == before - 1)


def becomes(true: Callable[[], bool]) -> bool:
    """Whether it comes true within some seconds: what the server does after a socket's end takes a moment."""
    deadline = time.monotonic() + 10
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
