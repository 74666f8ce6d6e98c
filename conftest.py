"""Fixtures for the tests of the framework (tests/) and of every environment (envs/*/tests)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Servers, free_port, running


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's folder."""
    return ROOT


@pytest.fixture(name="free_port")
def free_port_fixture() -> int:
    """A free TCP port of 127.0.0.1."""
    return free_port()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Servers]:
    """Starts real servers for one test: ``serve("echo")``, ``serve("module:app", cwd=…, uvicorn=True)``; see `Servers`."""
    with running(tmp_path) as servers:
        yield servers


@pytest.fixture(scope="module")
def module_serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """As ``serve``, for servers that the tests of one module share."""
    with running(tmp_path_factory.mktemp("servers")) as servers:
        yield servers
