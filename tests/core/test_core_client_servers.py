"""Clients of OpenEnv 0.10 with a server of their own, from a provider."""

from __future__ import annotations

import asyncio

import pytest

from tests.core.clients import EchoClient, Runner, Say, Shelf
from tests.support.processes import Server


async def test_a_container_of_ones_own(echo: Server) -> None:
    shelf = Shelf(echo.url)
    handle = EchoClient.from_docker_image("echo-env:latest", provider=shelf, port=8123, env_vars={"A": "b"})
    assert shelf.log == [], "nothing starts before it is asked for"
    client = await handle
    assert client.base_url == echo.url
    assert shelf.log == [("start", "echo-env:latest", 8123, {"A": "b"}, {}), ("wait", echo.url, 30.0)]
    async with client:
        await client.reset()
    assert shelf.log[2:] == ["stop"]
    await client.close()
    assert shelf.log[2:] == ["stop"]


def test_a_container_of_ones_own_in_blocking_use(echo: Server) -> None:
    shelf = Shelf(echo.url)
    with EchoClient.from_docker_image("echo-env:latest", provider=shelf).sync() as env:
        assert env.step(Say(message="x")).reward == 0.1
    assert shelf.log[-1] == "stop"


async def test_a_container_that_two_wait_for_is_started_once(echo: Server) -> None:
    shelf = Shelf(echo.url)
    handle = EchoClient.from_docker_image("echo-env:latest", provider=shelf)

    async def wait() -> EchoClient:
        return await handle

    one, other = await asyncio.gather(wait(), wait())
    assert one is other
    assert len(shelf.log) == 2
    await one.close()


def test_a_container_awaited_elsewhere(echo: Server) -> None:
    client = asyncio.run(EchoClient.from_docker_image("echo-env:latest", provider=Shelf(echo.url)))
    with client.sync() as env:
        assert env.reset().done is False


async def test_a_container_that_does_not_get_healthy_is_stopped(echo: Server) -> None:
    shelf = Shelf(echo.url)
    shelf.healthy = False
    with pytest.raises(TimeoutError, match="not healthy"):
        await EchoClient.from_docker_image("echo-env:latest", provider=shelf)
    assert shelf.log[-1] == "stop"


async def test_a_space_in_a_container(echo: Server) -> None:
    shelf = Shelf(echo.url)
    client = await EchoClient.from_env("Me/My_Echo", provider=shelf, tag="v2", env_vars={"A": "b"})
    assert shelf.log[0] == ("start", "registry.hf.space/me-my-echo:v2", None, {"A": "b"}, {})
    await client.close()


async def test_a_space_as_a_process(echo: Server) -> None:
    runner = Runner(echo.url)
    client = await EchoClient.from_env("me/echo", use_docker=False, provider=runner)
    assert runner.log == [("start", None, None, {}), "wait"]
    await client.close()
    assert runner.log[-1] == "stop"
    with pytest.raises(ValueError, match="beside a provider"):
        await EchoClient.from_env("me/echo", use_docker=False, provider=runner, port=3)
    with pytest.raises(ValueError, match="no containers"):
        await EchoClient.from_env("me/echo", provider=runner)


async def test_a_provider_starts_when_first_needed(echo: Server) -> None:
    runner = Runner(echo.url)
    client = EchoClient(provider=runner)
    assert client.base_url is None
    assert runner.log == []
    await asyncio.gather(client.reset(), client.state())
    assert client.base_url == echo.url
    assert runner.log == [("start", None, None, {}), "wait"]
    await client.close()
    assert runner.log[-1] == "stop"
    await client.reset()
    assert len(runner.log) == 5
    await client.close()


async def test_a_provider_that_needs_an_image_cannot_start_by_itself(echo: Server) -> None:
    with pytest.raises(ValueError, match=r"start_container\(\) needs image"):
        await EchoClient(provider=Shelf(echo.url)).connect()
