"""A world for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from calendar_env.testing import LocalGym


@pytest.fixture
def gym() -> Iterator[LocalGym]:
    """A fresh seed world."""
    with LocalGym() as made:
        yield made
