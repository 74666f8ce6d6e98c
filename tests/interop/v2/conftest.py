"""Servers of the toys for the tests of protocol v2, started when they are needed and shared by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.processes import ROOT, Server, running


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Gives a server of an application of the toys: under ``openenv``, that with two ``workers``, or plain ``uvicorn``."""
    known: dict[tuple[str, str], Server] = {}
    with running(tmp_path_factory.mktemp("servers")) as servers:

        def start(name: str, under: str = "openenv") -> Server:
            if (name, under) not in known:
                options = ["--workers", "2"] if under == "workers" else []
                target = f"tests.support.v2_toys:{name}_app"
                known[name, under] = servers(target, *options, cwd=ROOT, uvicorn=under == "uvicorn")
            return known[name, under]

        yield start


@pytest.fixture(params=["openenv", "workers", "uvicorn"])
def server(request: pytest.FixtureRequest, started: Callable[..., Server]) -> Server:
    """The workshop, under each of the three."""
    return started("workshop", request.param)


@pytest.fixture
def url(server: Server) -> str:
    """The address of its sockets."""
    return f"{server.ws_url}/ws"


@pytest.fixture
def openenv_url(started: Callable[..., Server]) -> str:
    """The same, under ``openenv serve`` only."""
    return f"{started('workshop').ws_url}/ws"


@pytest.fixture
def async_url(started: Callable[..., Server]) -> str:
    """The same of the asynchronous workshop."""
    return f"{started('async').ws_url}/ws"


@pytest.fixture
def brief_url(started: Callable[..., Server]) -> str:
    """The same of the workshop whose sessions live for 0.3 s without a connection."""
    return f"{started('brief').ws_url}/ws"


@pytest.fixture
def guarded_url(started: Callable[..., Server]) -> str:
    """The same of the workshop that asks for tokens."""
    return f"{started('guarded').ws_url}/ws"
