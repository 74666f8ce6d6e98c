"""A client by its environment's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from openenv.auto import _hub
from openenv.auto._discovery import EnvironmentInfo, get_discovery, is_hub_name, known_environment
from openenv.client.address import Address
from openenv.core._provided import run_container
from openenv.core.client_errors import ConnectionFailed, spoken_as_0_10
from openenv.core.containers.runtime._waiting import is_healthy
from openenv.core.utils import space_image

if TYPE_CHECKING:
    from openenv.core.containers.runtime.providers import ContainerProvider

__all__ = ["AutoEnv"]

_LOCAL_PROBE_S = 2.0
_REMOTE_PROBE_S = 5.0


class ServerUnavailable(ConnectionFailed, ValueError):
    """Nothing answers at the given address."""


class AutoEnv:
    """Makes a client from an environment's name: the name says which class, the arguments say which server.

    A class of class methods: it is not instantiated.
    """

    def __init__(self) -> None:
        _no_instances(type(self))

    @classmethod
    def from_env(
        cls,
        name: str,
        base_url: str | None = None,
        docker_image: str | None = None,
        container_provider: ContainerProvider | None = None,
        wait_timeout: float = 30.0,
        env_vars: dict[str, str] | None = None,
        trust_remote_code: bool = False,
        skip_install: bool = False,
        **kwargs: Any,
    ) -> Any:
        """A client of the environment's own class, or a `GenericEnvClient` with ``skip_install``.

        Its server is, in this order: ``base_url``; a container of ``docker_image``; for a name of the Hub its Space,
        if that runs; else a container of the environment's own image.

        Args:
            name: An installed environment (``echo``), or one of the Hub (``owner/name``), whose package is installed
                after consent.
            base_url: A running server; it is asked for ``GET /health``, or else ``GET /``, before the client is made.
            docker_image: The image to start a container of.
            container_provider: Starts the container; a `LocalDockerProvider` unless given.
            wait_timeout: Seconds for the container to be healthy.
            env_vars: Environment variables of the container.
            trust_remote_code: Consent to install and run a package from the Hub. ``OPENENV_TRUST_REMOTE_CODE=1`` says
                the same; without either the terminal asks.
            skip_install: Import nothing of the environment.
            kwargs: For the client's constructor, or for ``start_container``.

        Raises:
            ValueError: There is no such environment, or nobody consented.
            ConnectionError: Nothing answers at ``base_url``. It is a ``ValueError`` too, as in 0.10.
        """
        from openenv.core.generic_client import GenericEnvClient

        repository = _hub.repository_of(name) if is_hub_name(name) else None
        info: EnvironmentInfo | None = None
        if not skip_install:
            info = _environment(name, repository, trust_remote_code)
        client_class: Any = GenericEnvClient if info is None else info.get_client_class()
        if base_url is not None:
            _probe(base_url)
            return client_class(base_url=base_url, **kwargs)
        if docker_image is None and repository is not None:
            url = _hub.space_url(repository)
            if _answers(url, _REMOTE_PROBE_S):
                return client_class(base_url=url, **kwargs)
        image = docker_image or _image(name, repository, info)
        options = {**kwargs, "env_vars": dict(env_vars or {})}
        return _contained(client_class, image, container_provider, wait_timeout, options)

    @classmethod
    def from_hub(
        cls,
        name: str,
        base_url: str | None = None,
        docker_image: str | None = None,
        container_provider: ContainerProvider | None = None,
        wait_timeout: float = 30.0,
        env_vars: dict[str, str] | None = None,
        trust_remote_code: bool = False,
        skip_install: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Another name of `from_env`."""
        return cls.from_env(
            name,
            base_url=base_url,
            docker_image=docker_image,
            container_provider=container_provider,
            wait_timeout=wait_timeout,
            env_vars=env_vars,
            trust_remote_code=trust_remote_code,
            skip_install=skip_install,
            **kwargs,
        )

    @classmethod
    def get_env_class(cls, name: str) -> type[Any]:
        """The client's class of an installed environment. Raises ``ValueError`` where there is none."""
        return known_environment(name).get_client_class()

    @classmethod
    def get_env_info(cls, name: str) -> dict[str, Any]:
        """What is known of an installed environment. Raises ``ValueError`` where there is none."""
        info = known_environment(name)
        return {
            "env_key": info.env_key,
            "name": info.name,
            "package": info.package_name,
            "version": info.version,
            "description": info.description,
            "env_class": info.client_class_name,
            "action_class": info.action_class_name,
            "observation_class": info.observation_class_name,
            "module": info.client_module_path,
            "default_image": info.default_image,
            "spec_version": info.spec_version,
        }

    @classmethod
    def list_environments(cls) -> None:
        """Write a table of the installed environments to the standard output."""
        get_discovery().list_environments()


def _environment(name: str, repository: str | None, trust_remote_code: bool) -> EnvironmentInfo:
    if repository is None:
        return known_environment(name)
    return _hub.environment_of(repository, trust_remote_code=trust_remote_code)


def _image(name: str, repository: str | None, info: EnvironmentInfo | None) -> str:
    if repository is not None:
        return space_image(repository)
    if info is None:
        raise ValueError(f"skip_install leaves nothing to tell the server of {name!r} by: give base_url or docker_image")
    return info.default_image


def _contained(client_class: Any, image: str, provider: Any, wait_timeout: float, options: dict[str, Any]) -> Any:
    """A client that stops the container which is started here for it."""
    if provider is None:
        from openenv.core.containers.runtime.providers import LocalDockerProvider

        provider = LocalDockerProvider()
    if not hasattr(client_class, "from_docker_image"):
        raise ValueError(
            f"{client_class.__name__} is a client that owns no containers: start one of {image} and give its address as base_url"
        )
    url = run_container(provider, image, ready_timeout_s=wait_timeout, **options)
    return client_class(base_url=url, provider=provider)


def _probe(base_url: str) -> None:
    with spoken_as_0_10():
        address = Address.parse(base_url)
    if not _answers(address.http_url, _LOCAL_PROBE_S if address.is_loopback else _REMOTE_PROBE_S):
        raise ServerUnavailable(f"No server answers at {base_url}", field="base_url", hint="Is it running there?")


def _answers(url: str, timeout_s: float) -> bool:
    return is_healthy(url, timeout_s) or is_healthy(url, timeout_s, path="/")


def _no_instances(factory: type) -> NoReturn:
    raise TypeError(f"{factory.__name__} is not instantiated: call {factory.__name__}.from_env(name)")
