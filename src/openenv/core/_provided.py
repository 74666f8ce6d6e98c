"""A server that a client has from a provider: started when first needed, stopped with the client."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openenv.core.client_errors import BadSetting

if TYPE_CHECKING:
    from openenv.core.containers.runtime.providers import ContainerProvider, RuntimeProvider

__all__ = ["Provided", "run_container", "run_runtime", "stop"]

logger = logging.getLogger("openenv.client")


class Provided:
    """The provider of a client, or none. Its methods wait, and are called in a thread."""

    def __init__(self, provider: ContainerProvider | RuntimeProvider | None, *, runs: bool) -> None:
        self.provider = provider
        self.restarts = provider is not None and not runs
        """Whether the server is started here, when it is needed, rather than by whoever made the client."""
        self._runs = provider is not None and runs
        self._url: str | None = None
        self._guard = threading.Lock()

    def start(self) -> str:
        """Start the server, wait until it is healthy and return its URL; one that was started is not started again.

        Raises:
            BadSetting: There is no provider, or it cannot start without an image.
        """
        with self._guard:
            if self._url is None:
                if self.provider is None:
                    raise BadSetting("There is no server", field="base_url", hint="Give base_url, or a provider that starts one.")
                self._url, self._runs = _started(self.provider), True
            return self._url

    def stop(self) -> None:
        """Stop the server, if it runs."""
        with self._guard:
            self._url = None
            if self._runs and self.provider is not None:
                self._runs = False
                stop(self.provider)


def run_container(provider: ContainerProvider, image: str, *, ready_timeout_s: float | None = None, **options: Any) -> str:
    """Start a container, wait until it is healthy and return its URL; what did not become healthy is stopped."""
    return _healthy(provider, lambda: provider.start_container(image, **options), ready_timeout_s)


def run_runtime(provider: RuntimeProvider, **options: Any) -> str:
    """The same for a provider that runs a process."""
    try:
        url = provider.start(**options)
        provider.wait_for_ready()
    except BaseException:
        _stop_quietly(provider)
        raise
    return url


def stop(provider: Any) -> None:
    """Stop what a provider of either kind runs."""
    if hasattr(provider, "stop_container"):
        provider.stop_container()
    else:
        provider.stop()


def _started(provider: Any) -> str:
    if not hasattr(provider, "start_container"):
        return run_runtime(provider)
    needed = [
        parameter.name
        for parameter in inspect.signature(provider.start_container).parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        name = type(provider).__name__
        raise BadSetting(
            f"{name} cannot start a server by itself: start_container() needs {', '.join(needed)}",
            field="provider",
            hint="Start the container and give base_url beside the provider, or use from_docker_image(image, provider=…).",
        )
    start: Callable[[], str] = provider.start_container
    return _healthy(provider, start)


def _healthy(provider: ContainerProvider, start: Callable[[], str], ready_timeout_s: float | None = None) -> str:
    waiting = {} if ready_timeout_s is None else {"timeout_s": ready_timeout_s}
    try:
        url = start()
        provider.wait_for_ready(url, **waiting)
    except BaseException:
        _stop_quietly(provider)
        raise
    return url


def _stop_quietly(provider: Any) -> None:
    """Stop after a failure, which is what the caller is to hear of."""
    try:
        stop(provider)
    except Exception:  # a provider is anybody's code
        logger.warning("%s did not stop after its server failed to start", type(provider).__name__, exc_info=True)
