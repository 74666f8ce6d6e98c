from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.client.faulty import FaultyServer, Scripted, run_faulty


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
