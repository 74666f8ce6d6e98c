"""The Docker daemon that tests bring with them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.docker import docker, own_docker_daemon


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for the sockets in it."""
    with TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.mark.timeout(300)
def test_who_shares_a_daemon_stops_it_last_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_docker_daemon(folder) as first:
        assert first.own
        assert first.host is not None
        monkeypatch.setenv("DOCKER_HOST", first.host)
        with own_docker_daemon(folder) as second:
            assert second == first
        assert docker("info", "--format", "{{.DockerRootDir}}").startswith(str(folder))
        bridge = (folder / "daemon" / "bridges").read_text().split()[0]
        assert bridge in _links()
        assert str(folder) in _commands()
    assert not (folder / "daemon").exists()
    assert bridge not in _links()
    assert str(folder) not in Path("/proc/self/mounts").read_text() + _commands()
    with pytest.raises(subprocess.CalledProcessError):
        docker("version", "--format", "{{.Server.Version}}")


def _links() -> list[str]:
    return [link.name for link in Path("/sys/class/net").iterdir()]


def _commands() -> str:
    """How the daemons that run were started."""
    return subprocess.run(["ps", "-C", "dockerd,containerd", "-o", "args="], capture_output=True, text=True, check=False).stdout
