"""Servers that the tests of OpenEnv 0.10's clients talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.faulty import FaultyServer, Scripted, run_faulty
from tests.support.processes import Server, Servers


@pytest.fixture(scope="module")
def echo(module_serve: Servers) -> Server:
    """The echo, served by ``openenv serve``."""
    return module_serve("echo")


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that behaves until a test tells it otherwise."""
    with run_faulty() as server:
        server.play(Scripted.serve)
        yield server
