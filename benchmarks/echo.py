"""The echo environment under load: ours with and without middleware, openenv 0.10.0 and the floor, in interleaved rounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.load import Measurement
from tests.support.processes import ROOT, Server, Servers

__all__ = [
    "BARE",
    "CHAIN",
    "EARLIER",
    "FLOOR",
    "OURS",
    "REFERENCE",
    "Round",
    "measure",
    "start",
    "start_earlier",
    "start_variants",
]

FLOOR = "bare ASGI echo"
OURS = "this openenv"
BARE = "without middleware"
CHAIN = "with the default chain"
EARLIER = "this openenv, earlier"
REFERENCE = "openenv 0.10.0"

_TOKEN = "a-token-for-the-load-generator"
_REFERENCE_PYTHON = ROOT / "benchmarks" / ".venv-reference" / "bin" / "python"


@dataclass(frozen=True)
class Round:
    """One measurement of one server in one round."""

    server: str
    sessions: int
    number: int
    steps_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    """Server CPU time per step, in microseconds."""
    load_cpu: float
    """The load generator's CPU time as a share of one core; near 1 it is the load that limits, not the server."""


def start(servers: Servers) -> dict[str, Server]:
    """Start the servers, each a single process with its author's settings."""
    return {
        FLOOR: _floor(servers),
        OURS: servers("echo"),
        **start_variants(servers),
        REFERENCE: _reference(servers),
    }


def start_variants(servers: Servers) -> dict[str, Server]:
    """Start ours without middleware, and with all of it."""
    return {BARE: servers("benchmarks.servers.bare:app", cwd=ROOT), CHAIN: _with_chain(servers)}


def start_earlier(servers: Servers, commit: str) -> Server:
    """Start the echo environment as it was served at an earlier commit, with the dependencies of now.

    Raises ``CalledProcessError`` when there is no such commit.
    """
    folder = servers.folder / "earlier"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit, "src", "envs/echo_env"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    path = os.pathsep.join([str(folder / "src"), str(folder / "envs" / "echo_env")])
    command = [sys.executable, "-m", "openenv.cli", "serve", "echo", "--host", "127.0.0.1", "--port", "0"]
    return servers.start(command, env={**os.environ, "PYTHONPATH": path}, cwd=folder)


def _with_chain(servers: Servers) -> Server:
    """Log, metrics, a token that every socket shows, and a limit that none reaches."""
    tokens = servers.folder / "tokens.json"
    tokens.write_text(json.dumps({_TOKEN: {"id": "load", "scopes": ["create", "reset", "act"]}}))
    return servers("echo", "--tokens", str(tokens), "--rate", "1e9")


def _floor(servers: Servers) -> Server:
    options = ["--loop", "uvloop", "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--no-access-log"]
    return servers("benchmarks.servers.floor:app", *options, cwd=ROOT, uvicorn=True)


def _reference(servers: Servers) -> Server:
    module = ["reference:app", "--app-dir", str(ROOT / "benchmarks" / "servers")]
    options = ["--host", "127.0.0.1", "--port", "0", "--loop", "uvloop", "--no-access-log"]
    command = [str(_REFERENCE_PYTHON), "-m", "uvicorn", *module, *options]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return servers.start(command, env=environment, cwd=servers.folder)


def measure(servers: dict[str, Server], sessions: list[int], rounds: int, seconds: float) -> Iterator[Round]:
    """Yield every measurement: in each round every server at every number of sessions, in a rotated order."""
    for number in range(rounds):
        for count in sessions:
            names = list(servers)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                yield _round(name, servers[name], count, number, seconds)


def _round(name: str, server: Server, sessions: int, number: int, seconds: float) -> Round:
    url = f"{server.ws_url}/ws"
    arguments = [url, "--sessions", str(sessions), "--seconds", str(seconds), "--server-pid", str(server.pid)]
    if name == CHAIN:
        arguments += ["--token", _TOKEN]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90 + seconds,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed on {name}:\n{done.stderr}\nthe server's log ends:\n{server.log()[-2000:]}")
    seen: Measurement = json.loads(done.stdout)
    return Round(
        server=name,
        sessions=sessions,
        number=number,
        steps_per_s=seen["steps"] / seen["seconds"],
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        server_cpu_us=seen["server_cpu_s"] / seen["steps"] * 1e6,
        load_cpu=seen["load_cpu_s"] / seen["seconds"],
    )
