"""A Docker daemon for tests: the one that runs, else one of their own."""

from __future__ import annotations

import fcntl
import grp
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.locks import only_one
from tests.support.packages import CI, system_packages
from tests.support.processes import ROOT

__all__ = ["DockerDaemon", "docker", "docker_daemon", "own_docker_daemon"]

PACKAGES = ("docker.io", "iptables", "iproute2")

_SCRIPT = ROOT / "tests" / "support" / "dockerd.sh"
_COMMAND_TIMEOUT_S = 60
_START_TIMEOUT_S = 120


@dataclass(frozen=True)
class DockerDaemon:
    """A daemon that answers."""

    host: str | None
    """What ``DOCKER_HOST`` has to be; None: as it is."""

    @property
    def own(self) -> bool:
        """Whether it is there for tests alone, so that they may do with it as they like."""
        return self.host is not None


def docker(*arguments: str, given: bytes | None = None) -> str:
    """What ``docker ARGUMENTS…`` writes; ``given`` is its input. Raises ``CalledProcessError``, whose notes say what it said."""
    done = subprocess.run(["docker", *arguments], input=given, capture_output=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    try:
        done.check_returncode()
    except subprocess.CalledProcessError as error:
        error.add_note(done.stderr.decode(errors="replace"))
        raise
    return done.stdout.decode().strip()


@contextmanager
def docker_daemon() -> Iterator[DockerDaemon]:
    """A daemon while the block runs: the one that answers ``docker version``, else `own_docker_daemon`."""
    if _answers(None):
        yield DockerDaemon(host=None)
        return
    with own_docker_daemon(_private_folder()) as daemon:
        yield daemon


@contextmanager
def own_docker_daemon(folder: Path) -> Iterator[DockerDaemon]:
    """A daemon of the tests' own, as ``dockerd.sh`` starts it, while the block runs.

    All who name the same folder, whose path must be short, share it: the first one in starts it, and the last one out
    stops it with everything it started. Root on Debian and ``CI=1`` may start one, and install Docker for it; elsewhere
    the test is skipped.
    """
    system_packages(*PACKAGES)
    if not CI and not (os.getuid() == 0 and Path("/etc/debian_version").exists()):
        pytest.skip("no Docker daemon answers: run  sudo systemctl start docker , or set DOCKER_HOST")
    state = folder / "daemon"
    daemon = DockerDaemon(host=f"unix://{state}/docker.sock")
    # A lock on this file says that somebody uses the daemon. The kernel takes it back from a process that was killed.
    with (folder / "users.lock").open("w") as users:
        with only_one(folder / "start.lock"):
            if not _answers(daemon.host):
                _run("up", str(state), grp.getgrgid(os.getgid()).gr_name)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield daemon
        finally:
            with only_one(folder / "start.lock"):
                if _alone(users.fileno()):
                    _run("down", str(state))


def _private_folder() -> Path:
    folder = Path("/tmp") / f"openenv-docker-{os.getuid()}"  # a socket's path must be short, and TMPDIR's may not be
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to somebody else: remove it")
    return folder


def _answers(host: str | None) -> bool:
    environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_COMMAND_TIMEOUT_S, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _alone(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(*arguments: str) -> None:
    sudo = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    # Its output goes to a file: the daemon, which stays, would keep a pipe open.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            [*sudo, str(_SCRIPT), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=_START_TIMEOUT_S,
            check=False,
        )
        said.seek(0)
        if done.returncode != 0:
            raise RuntimeError(f"{_SCRIPT.name} {' '.join(arguments)} ended with {done.returncode}: {said.read().strip()}")
