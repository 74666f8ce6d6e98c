"""Fixtures for the tests of the framework (tests/) and of every environment (envs/*/tests)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.docker import DockerDaemon, docker_daemon
from tests.support.processes import ROOT, Servers, free_port, running

# How long an example takes is the machine's business.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


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


@pytest.fixture(scope="session")
def session_docker_daemon() -> Iterator[DockerDaemon]:
    """The daemon behind ``docker_daemon``."""
    with docker_daemon() as daemon:
        yield daemon


@pytest.fixture(name="docker_daemon", scope="module")
def docker_daemon_fixture(session_docker_daemon: DockerDaemon) -> Iterator[DockerDaemon]:
    """A Docker daemon, to which the command ``docker`` talks meanwhile. The first test that needs it may take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        if session_docker_daemon.host is not None:
            patch.setenv("DOCKER_HOST", session_docker_daemon.host)
            patch.delenv("DOCKER_CONTEXT", raising=False)
        yield session_docker_daemon
