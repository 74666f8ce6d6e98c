from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.faulty import FaultyServer, Scripted, run_faulty


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    """A server that behaves until a test tells it otherwise."""
    with run_faulty() as server:
        server.play(Scripted.serve)
        yield server
