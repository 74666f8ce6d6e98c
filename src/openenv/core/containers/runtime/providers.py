"""Providers: what a client asks for a server of its own."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from openenv.core.containers.runtime._waiting import free_port, wait_until_healthy
from openenv.errors import ConfigurationError, OpenEnvError

__all__ = [
    "ContainerProvider",
    "DockerSwarmProvider",
    "KubernetesProvider",
    "LocalDockerProvider",
    "ProviderError",
    "RuntimeProvider",
]

log = logging.getLogger("openenv.client")

CONTAINER_PORT = 8000
"""The port on which an environment listens inside its container."""

_COMMAND_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 600.0
"""For commands that may have to pull an image first."""
_STOP_GRACE_S = 10


class ProviderError(OpenEnvError, RuntimeError):
    """A server could not be started or stopped; the text says what refused and what it said."""

    code = "PROVIDER_ERROR"


class MissingProgram(ConfigurationError, RuntimeError):
    """A program that the provider works with is not there, or does not work; the text says which."""


class ContainerProvider(ABC):
    """Starts a container of an image and says where its server is. As a context manager it stops it."""

    @abstractmethod
    def start_container(self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        """Start a container.

        Args:
            image: The image's name.
            port: The port on this machine; a free one unless given.
            env_vars: Environment variables for the container.
            kwargs: What the provider knows beside these.

        Returns:
            The server's base URL. It may not answer yet: see `wait_for_ready`.
        """

    @abstractmethod
    def stop_container(self) -> None:
        """Stop and remove the container. Without one it does nothing."""

    @abstractmethod
    def wait_for_ready(self, base_url: str, timeout_s: float = 30.0) -> None:
        """Wait until ``GET /health`` answers 200.

        Raises:
            TimeoutError: It did not within ``timeout_s`` seconds.
        """

    def close(self) -> None:
        """Give back everything: the same as `stop_container`, unless a provider holds more."""
        self.stop_container()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> bool | None:
        self.close()
        return None


class RuntimeProvider(ABC):
    """Starts a server as a process and says where it is. As a context manager it starts and stops it."""

    @abstractmethod
    def start(self, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        """Start the server and return its base URL. It may not answer yet: see `wait_for_ready`."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the server. Without one it does nothing."""

    @abstractmethod
    def wait_for_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until ``GET /health`` answers 200; raises ``TimeoutError`` when it does not in time."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class _Docker(ContainerProvider):
    """What the two providers that use the ``docker`` command share."""

    def wait_for_ready(self, base_url: str, timeout_s: float = 30.0) -> None:
        wait_until_healthy(base_url, timeout_s, said=self._said)

    def _said(self) -> str:
        """The end of what the server has written, for messages."""
        return ""

    def _run(self, *arguments: str, timeout_s: float | None = None) -> str:
        """What ``docker ARGUMENTS…`` writes.

        Args:
            arguments: The command and what it gets.
            timeout_s: Seconds that it may take; a minute unless given.

        Raises:
            MissingProgram: There is no such command, or no daemon behind it.
            ProviderError: It failed; the text has what it said.
        """
        timeout_s = _COMMAND_TIMEOUT_S if timeout_s is None else timeout_s
        try:
            done = subprocess.run(
                ["docker", *arguments], capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
            )
        except FileNotFoundError:
            raise MissingProgram("docker is not installed", hint="Install Docker, or give base_url of a server.") from None
        except subprocess.TimeoutExpired:
            raise ProviderError(f"docker {arguments[0]} did not end within {timeout_s:.0f} s") from None
        if done.returncode == 0:
            return done.stdout.strip()
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        if "Cannot connect to the Docker daemon" in said or "docker daemon is not running" in said:
            raise MissingProgram(f"No Docker daemon answers: {said}", hint="Start it; DOCKER_HOST says where it listens.")
        raise ProviderError(f"docker {arguments[0]} failed: {said}")


class LocalDockerProvider(_Docker):
    """A container on this machine's Docker, its port published on 127.0.0.1.

    Raises:
        RuntimeError: Docker is not installed, or its daemon does not answer.
    """

    def __init__(self) -> None:
        self._container: str | None = None
        self._run("version", "--format", "{{.Server.Version}}")

    def start_container(self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        """Start a container. ``kwargs`` are taken, as in 0.10, and mean nothing here."""
        self.stop_container()
        name = _name_for(image)
        self._container = name
        try:
            self._run(
                "run",
                "--detach",
                "--name",
                name,
                "--publish",
                f"127.0.0.1:{port or ''}:{CONTAINER_PORT}",
                *_environment(env_vars),
                image,
                timeout_s=_RUN_TIMEOUT_S,
            )
            published = self._published(image, name)
        except BaseException:
            self.stop_container()
            raise
        return f"http://{published}"

    def _published(self, image: str, name: str) -> str:
        """The address at which Docker has published the container's port."""
        try:
            addresses = self._run("port", name, f"{CONTAINER_PORT}/tcp").splitlines()
        except ProviderError:
            addresses = []
        if not addresses:
            raise ProviderError(f"The container of {image} ended at once; it said: {self._said() or 'nothing'}")
        return addresses[0]

    def stop_container(self) -> None:
        """Stop the container within ten seconds, and remove it; one that cannot be stopped is killed as it is removed."""
        name, self._container = self._container, None
        if name is None:
            return
        try:
            self._run("stop", "--time", str(_STOP_GRACE_S), name)
        except ProviderError as error:
            if "No such container" in error.message:
                return
            log.warning("the container %s is removed without having been stopped: %s", name, error.message)
        try:
            self._run("rm", "--force", name)
        except ProviderError as error:
            if "No such container" not in error.message:
                raise

    def _said(self) -> str:
        if self._container is None:
            return ""
        try:
            return _tail(
                subprocess.run(
                    ["docker", "logs", "--tail", "5", self._container],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    timeout=_COMMAND_TIMEOUT_S,
                    check=False,
                ).stdout
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""


class DockerSwarmProvider(_Docker):
    """A service of several containers on Docker Swarm, behind one published port.

    Swarm spreads connections over the replicas, so that sessions that live in one process (every ``/ws`` does) work,
    and requests that must reach the same process do not.

    Args:
        auto_init_swarm: Make this machine a swarm of one where it is in none.
        overlay_network: Attach the service to this network, made if it is not there.

    Raises:
        RuntimeError: Docker is not installed, its daemon does not answer, or this machine is in no swarm.
    """

    def __init__(self, *, auto_init_swarm: bool = True, overlay_network: str | None = None) -> None:
        self._service: str | None = None
        self._network = overlay_network
        swarm = self._run("info", "--format", "{{.Swarm.LocalNodeState}}")
        if swarm != "active":
            if not auto_init_swarm:
                raise MissingProgram("This machine is in no swarm", hint="Run docker swarm init, or set auto_init_swarm.")
            self._run("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
        if overlay_network and overlay_network not in self._run("network", "ls", "--format", "{{.Name}}").splitlines():
            self._run("network", "create", "--driver", "overlay", "--attachable", overlay_network)

    def start_container(self, image: str, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any) -> str:
        """Start a service.

        Args:
            image: As of any provider. So are ``port`` and ``env_vars``.
            kwargs: ``replicas`` (2), ``cpu_limit`` and ``memory_limit`` as Docker writes them, ``constraints`` (a list),
                ``labels`` (a mapping), ``command`` (a list or a text).

        Raises:
            ValueError: An unknown option.
        """
        self.stop_container()
        port = free_port() if port is None else port
        name = _name_for(image)
        options = _swarm_options(kwargs)
        if self._network:
            options += ["--network", self._network]
        publish = f"published={port},target={CONTAINER_PORT}"
        command = _command(kwargs.get("command"))
        self._service = name
        try:
            self._run(
                "service", "create", "--detach", "--name", name, "--publish", publish,
                *_environment(env_vars), *options, image, *command, timeout_s=_RUN_TIMEOUT_S,
            )  # fmt: skip
        except BaseException:
            self.stop_container()
            raise
        return f"http://127.0.0.1:{port}"

    def stop_container(self) -> None:
        """Remove the service."""
        name, self._service = self._service, None
        if name is None:
            return
        try:
            self._run("service", "rm", name)
        except ProviderError as error:
            if "not found" not in error.message:
                raise

    def _said(self) -> str:
        if self._service is None:
            return ""
        try:
            rows = self._run("service", "ps", "--no-trunc", "--format", "{{json .}}", self._service).splitlines()
        except OpenEnvError:
            return ""
        tasks = [json.loads(row) for row in rows[:5]]
        return " | ".join(f"{task.get('CurrentState', '')} {task.get('Error', '')}".strip() for task in tasks)


class KubernetesProvider(ContainerProvider):
    """A name that 0.10 reserves: abstract, as there. ``openenv`` deploys to Kubernetes by manifests, not from a client."""


def _name_for(image: str) -> str:
    """A name for a container of this image that no other has."""
    readable = re.sub(r"[^a-z0-9_.-]+", "-", image.rpartition("/")[2].partition(":")[0].lower()).strip("-._")
    return f"openenv-{readable or 'environment'}-{uuid.uuid4().hex[:8]}"


def _environment(env_vars: Mapping[str, str] | None) -> list[str]:
    return [part for name, value in (env_vars or {}).items() for part in ("--env", f"{name}={value}")]


_SWARM_OPTIONS = frozenset({"replicas", "cpu_limit", "memory_limit", "constraints", "labels", "command"})


def _swarm_options(given: Mapping[str, Any]) -> list[str]:
    if unknown := sorted(set(given) - _SWARM_OPTIONS):
        raise ValueError(f"DockerSwarmProvider knows no {', '.join(unknown)}: it knows {', '.join(sorted(_SWARM_OPTIONS))}")
    options = ["--replicas", str(given.get("replicas", 2))]
    if given.get("cpu_limit"):
        options += ["--limit-cpu", str(given["cpu_limit"])]
    if given.get("memory_limit"):
        options += ["--limit-memory", str(given["memory_limit"])]
    for constraint in given.get("constraints") or ():
        options += ["--constraint", str(constraint)]
    for name, value in (given.get("labels") or {}).items():
        options += ["--label", f"{name}={value}"]
    return options


def _command(command: str | Sequence[str] | None) -> list[str]:
    if command is None:
        return []
    return ["/bin/sh", "-c", command] if isinstance(command, str) else [str(part) for part in command]


def _tail(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-5:] if line.strip())
