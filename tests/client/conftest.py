from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.faulty import FaultyServer, Scripted, run_faulty
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def talk(module_serve: Servers) -> Server:
    """The environment of ``v2_toys``."""
    return module_serve("v2_toys:app", cwd=HERE)


@pytest.fixture(scope="module")
def snake(module_serve: Servers) -> Server:
    """``openenv serve snake``."""
    return module_serve("snake")


@pytest.fixture(scope="module")
def desk(module_serve: Servers) -> Server:
    """The environment of ``desk``."""
    return module_serve("desk:app", cwd=HERE)


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that behaves until a test tells it otherwise."""
    with run_faulty() as server:
        server.play(Scripted.serve)
        yield server


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, which a shell's background jobs start without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
