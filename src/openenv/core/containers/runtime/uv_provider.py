"""A server that ``uv`` runs from an environment's project."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from openenv.core.containers.runtime._waiting import free_port, wait_until_healthy
from openenv.core.containers.runtime.providers import MissingProgram, ProviderError, RuntimeProvider

__all__ = ["UVProvider"]

_GIT_PREFIX = "git+"
_STOP_GRACE_S = 10.0


class UVProvider(RuntimeProvider):
    """``uv run`` of an environment's project: its dependencies in an environment of its own, its app under uvicorn.

    Args:
        project_path: The project's folder, or ``git+URL`` of its repository, which `start` clones and `stop` removes.
        app: The application, as ``module:attribute``.
        host: The address to listen on.
        reload: Start again whenever a file changes.
        env_vars: Environment variables for the server.
        context_timeout_s: Seconds that the server may take to be healthy, as a context manager and by default.

    Raises:
        RuntimeError: ``uv`` is not installed.
        ValueError: The folder has no ``pyproject.toml``.
    """

    def __init__(
        self,
        *,
        project_path: str,
        app: str = "server.app:app",
        host: str = "0.0.0.0",
        reload: bool = False,
        env_vars: dict[str, str] | None = None,
        context_timeout_s: float = 60.0,
    ) -> None:
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if uv is None:
            raise MissingProgram("uv is not installed", hint="Install it (pip install uv), or give base_url of a server.")
        self._uv = uv
        self.project_path = project_path
        self._clone: tempfile.TemporaryDirectory[str] | None = None
        if not project_path.startswith(_GIT_PREFIX):
            _check_project(project_path)
        self.app = app
        self.host = host
        self.reload = reload
        self.env_vars = dict(env_vars or {})
        self.context_timeout_s = context_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._url: str | None = None

    @property
    def base_url(self) -> str:
        """Where the server is.

        Raises:
            RuntimeError: It is not started.
        """
        if self._url is None:
            raise ProviderError("The server is not started", hint="Call start() first.")
        return self._url

    def start(self, port: int | None = None, env_vars: dict[str, str] | None = None, workers: int = 1, **_: Any) -> str:
        """Start the server and return its base URL; see `wait_for_ready`.

        Raises:
            RuntimeError: It runs already, or the repository cannot be cloned.
            ValueError: The repository has no ``pyproject.toml``.
        """
        if self._process is not None and self._process.poll() is None:
            raise ProviderError(f"The server runs already, at {self._url}", hint="Call stop() first.")
        port = free_port() if port is None else port
        folder = self.project_path
        if folder.startswith(_GIT_PREFIX):
            folder = self._cloned()
        # The options of `uv run` come before the program, whose own follow it.
        command = [self._uv, "run", "--isolated", "--project", folder, "--", "uvicorn", self.app]
        command += ["--host", self.host, "--port", str(port), "--workers", str(workers)]
        if self.reload:
            command.append("--reload")
        self._log = tempfile.TemporaryFile(prefix="openenv-uv-")  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **self.env_vars, **(env_vars or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reached_at = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        self._url = f"http://{reached_at}:{port}"
        return self._url

    def wait_for_ready(self, timeout_s: float | None = None) -> None:
        """Wait until ``GET /health`` answers 200, for ``timeout_s`` seconds or what the constructor says.

        Raises:
            TimeoutError: It did not in time, or the server has ended; the text has the end of its log.
        """
        process = self._process
        wait_until_healthy(
            self.base_url,
            self.context_timeout_s if timeout_s is None else timeout_s,
            said=self._said,
            ended=lambda: process is None or process.poll() is not None,
        )

    def stop(self) -> None:
        """Stop the server and its children, and remove a cloned project."""
        process, self._process, self._url = self._process, None, None
        if process is not None:
            _end(process)
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._clone is not None:
            self._clone.cleanup()
            self._clone = None

    def __enter__(self) -> UVProvider:
        try:
            self.start()
            self.wait_for_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _said(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 2000))
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-5:] if line.strip())

    def _cloned(self) -> str:
        """The folder into which the repository is cloned."""
        if shutil.which("git") is None:
            raise MissingProgram("git is not installed", hint="Clone the project by other means and give its folder.")
        if self._clone is not None:
            self._clone.cleanup()
        self._clone = tempfile.TemporaryDirectory(prefix="openenv-project-")
        try:
            _clone(self.project_path.removeprefix(_GIT_PREFIX), self._clone.name, self.context_timeout_s)
            _check_project(self._clone.name)
        except BaseException:
            self._clone.cleanup()
            self._clone = None
            raise
        return self._clone.name


def _check_project(folder: str) -> None:
    if not (Path(folder) / "pyproject.toml").is_file():
        raise ValueError(f"{folder} has no pyproject.toml: name the folder of an environment's project")


def _clone(address: str, folder: str, timeout_s: float) -> None:
    url, _, revision = address.partition("#")
    command = ["git", "clone", "--quiet", "--depth", "1", *(["--branch", revision] if revision else []), "--", url, folder]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        raise ProviderError(f"git did not clone {url} within {timeout_s:g} s", hint="context_timeout_s sets the limit.") from None
    if done.returncode != 0:
        raise ProviderError(f"git cannot clone {url}: {done.stderr.strip()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the process's group, SIGKILL when that did not end it in time."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
