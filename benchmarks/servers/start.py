"""Starts the servers that are measured: each one process with its author's settings."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.support.processes import ROOT, Server, Servers

__all__ = [
    "DEFAULT",
    "NONE",
    "NOT_APPLICABLE",
    "REFERENCE_PYTHON",
    "Target",
    "calendar",
    "earlier",
    "echo_now",
    "floor",
    "ours",
    "reference",
]

NONE = "none"
DEFAULT = "default"
NOT_APPLICABLE = ""
"""The chains: no middleware; log, metrics, a valid bearer token and a limit that is not reached; not one of ours."""

_TOKEN = "a-token-for-the-load-generator"
_SCOPES = ["create", "reset", "act"]
REFERENCE_PYTHON = ROOT / "benchmarks" / ".venv-reference" / "bin" / "python"


@dataclass(frozen=True)
class Target:
    """A server that runs, and what its callers have to show."""

    server: Server
    token: str | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """Its processes: the one that was started, and those that it has started by now."""
        pid = self.server.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return (pid, *map(int, children))

    @property
    def headers(self) -> dict[str, str]:
        """What its callers send."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def ours(
    servers: Servers, environment: str, chain: str, *options: str, module: str = "ours", env: Mapping[str, str] | None = None
) -> Target:
    """``openenv serve`` of an environment in a module beside this one, with the default chain or none."""
    name = environment if chain == DEFAULT else f"bare_{environment}"
    options = (*options, *(_chain(servers) if chain == DEFAULT else ()))
    server = servers(f"benchmarks.servers.{module}:{name}", *options, cwd=ROOT, env=env)
    return _ready(Target(server, _TOKEN if chain == DEFAULT else None))


def calendar(servers: Servers, chain: str) -> Target:
    """The same with the Calendar."""
    if chain == NONE:
        return _ready(Target(servers("benchmarks.servers.bare_calendar:app", cwd=ROOT)))
    return _ready(Target(servers("calendar", *_chain(servers)), _TOKEN))


def _chain(servers: Servers) -> list[str]:
    # A file for each: servers are started at the same time.
    with NamedTemporaryFile("w", suffix=".json", dir=servers.folder, delete=False) as tokens:
        json.dump({_TOKEN: {"id": "load", "scopes": _SCOPES}}, tokens)
    return ["--tokens", tokens.name, "--rate", "1e9"]


def floor(servers: Servers) -> Target:
    """A bare ASGI application under uvicorn's fastest settings."""
    options = ["--loop", "uvloop", "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--no-access-log"]
    return _ready(Target(servers("benchmarks.servers.floor:app", *options, cwd=ROOT, uvicorn=True)))


def reference(servers: Servers, environment: str) -> Target:
    """openenv 0.10.0 with one of the environments of ``servers/reference.py``."""
    module = [f"reference:{environment}", "--app-dir", str(ROOT / "benchmarks" / "servers")]
    options = ["--host", "127.0.0.1", "--port", "0", "--loop", "uvloop", "--no-access-log"]
    command = [str(REFERENCE_PYTHON), "-m", "uvicorn", *module, *options]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return _ready(Target(servers.start(command, env=environ, cwd=servers.folder)))


def earlier(servers: Servers, commit: str) -> Target:
    """``openenv serve echo`` as it was at an earlier commit, with the dependencies of now.

    Raises ``CalledProcessError`` when there is no such commit.
    """
    folder = servers.folder / "earlier"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit, "src", "envs/echo_env"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    path = os.pathsep.join([str(folder / "src"), str(folder / "envs" / "echo_env")])
    command = [sys.executable, "-m", "openenv.cli", "serve", "echo", "--host", "127.0.0.1", "--port", "0"]
    return _ready(Target(servers.start(command, env={**os.environ, "PYTHONPATH": path}, cwd=folder)))


def echo_now(servers: Servers) -> Target:
    """The same as it is now."""
    return _ready(Target(servers("echo")))


def _ready(target: Target) -> Target:
    """Let it have as many sockets as the machine allows."""
    for pid in target.pids:
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    return target
