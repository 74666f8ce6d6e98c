"""How clients are entered, and what they say to whoever forgot to enter them, or to await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from openenv.client import Connection, EnvClient, Reset, ToolClient, VectorEnvClient
from openenv.errors import ConfigurationError, ConnectionFailed

NOWHERE = "http://127.0.0.1:1"


def vector() -> VectorEnvClient[Any, Any, Any]:
    return VectorEnvClient(NOWHERE, 2)


CALLS: dict[str, Callable[[], Any]] = {
    "EnvClient.reset": lambda: EnvClient(NOWHERE).reset(),
    "ToolClient.call_tool": lambda: ToolClient(NOWHERE).call_tool("hammer"),
    "Connection.connect": lambda: Connection(NOWHERE).connect(),
    "Connection.open": lambda: Connection(NOWHERE).open(3),
    "Connection.attach": lambda: Connection(NOWHERE).attach("someone"),
    "Connection.ping": lambda: Connection(NOWHERE).ping(),
    "Connection.batch": lambda: Connection(NOWHERE).batch([]),
    "Connection.close": lambda: Connection(NOWHERE).close(),
    "VectorEnvClient.connect": lambda: vector().connect(),
    "VectorEnvClient.reset": lambda: vector().reset(seed=1),
    "VectorEnvClient.step": lambda: vector().step([Reset(), Reset()]),
    "VectorEnvClient.restart": lambda: vector().restart(),
    "VectorEnvClient.close": lambda: vector().close(),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_nobody_can_await_says_so(call: str) -> None:
    name, method = call.split(".")
    with pytest.raises(ConfigurationError, match=rf"^{name}\.{method}\(\) has to be awaited") as caught:
        CALLS[call]()
    assert f"with {name}(...) as client" in (caught.value.hint or "")


@pytest.mark.parametrize("make", [lambda: EnvClient(NOWHERE), lambda: Connection(NOWHERE), vector])
def test_what_cannot_be_entered_leaves_nothing_open(make: Callable[[], Any]) -> None:
    with pytest.raises(ConnectionFailed), make():
        pytest.fail("nobody listens there")

    async def enter() -> None:
        client = make()
        for _ in range(2):
            with pytest.raises(ConnectionFailed):
                async with client:
                    pytest.fail("nobody listens there")

    asyncio.run(enter())
