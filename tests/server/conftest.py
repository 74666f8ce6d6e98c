"""Toy servers for the tests of standard MCP, and a client that shook hands."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.mcp_wire import Peer, modern
from tests.support.processes import ROOT, Server, Servers

TOYS = "tests.support.mcp_toys"


@pytest.fixture(scope="module")
def bench(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:bench_app", cwd=ROOT)


@pytest.fixture(scope="module")
def growing(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:changing_app", cwd=ROOT)


@pytest.fixture(scope="module")
def brief(module_serve: Servers) -> Server:
    """Its sessions live for a second. The first request of MCP loads the SDK, which may take longer: it is made here."""
    server = module_serve(f"{TOYS}:growing_app", cwd=ROOT)
    with httpx.Client(base_url=server.url, timeout=15) as client:
        assert modern(client, "server/discover").status == 200
    return server


@pytest.fixture(scope="module")
def named(module_serve: Servers) -> Server:
    return module_serve(f"{TOYS}:named_app", cwd=ROOT)


@pytest.fixture
def http(bench: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=bench.url, timeout=15) as client:
        yield client


@pytest.fixture
def peer(http: httpx.Client) -> Peer:
    made = Peer(http)
    assert made.initialize().status == 200
    return made
