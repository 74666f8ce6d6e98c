"""What the providers of other companies' sandboxes share: they know what they would need, and say so."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import Any, ClassVar, NoReturn

from openenv.core.containers.runtime._waiting import wait_until_healthy
from openenv.core.containers.runtime.providers import ContainerProvider
from openenv.errors import ConfigurationError, Unsupported

__all__ = ["CloudProvider", "CloudUnavailable", "NoSandboxes", "strip_buildkit_syntax"]


class CloudUnavailable(ConfigurationError, RuntimeError):
    """A sandbox needs a library or an account that is not here; the text names it."""


class NoSandboxes(Unsupported, RuntimeError):
    """This package starts no sandboxes with that company."""


class CloudProvider(ContainerProvider):
    """A provider whose name and arguments are OpenEnv 0.10's, and which starts nothing.

    It can be imported, constructed, asked to stop, and asked to wait for a server that something else has started there.
    `start_container` and the like raise ``RuntimeError``, saying what they lack: the library, then the account, and in
    the end that nothing is started from here.
    """

    company: ClassVar[str]
    library: ClassVar[str]
    """The module of its library."""
    distribution: ClassVar[str]
    """What to install for it."""
    variables: ClassVar[tuple[str, ...]] = ()
    """The environment variables that hold its account."""

    settings: dict[str, Any]

    def start_container(
        self, image: str | None = None, port: int | None = None, env_vars: dict[str, str] | None = None, **kwargs: Any
    ) -> str:
        """Raises ``RuntimeError``: see the class."""
        self.refuse("start_container")

    def stop_container(self) -> None:
        """Nothing runs, so nothing is stopped."""

    def wait_for_ready(self, base_url: str, timeout_s: float = 120.0) -> None:
        """Wait until ``GET /health`` answers 200; raises ``TimeoutError`` when it does not in time."""
        wait_until_healthy(base_url, timeout_s, said=lambda: "")

    @property
    def base_url(self) -> str:
        """Raises ``RuntimeError``: nothing is started."""
        self.refuse("base_url")

    @classmethod
    def refuse(cls, what: str) -> NoReturn:
        """Say what is missing for ``what``."""
        asked = f"{cls.__name__}.{what}"
        if find_spec(cls.library) is None:
            raise CloudUnavailable(
                f"{asked} needs {cls.company}'s library: pip install {cls.distribution}", hint="Or give base_url of a server."
            )
        missing = [name for name in cls.variables if not os.environ.get(name)]
        if missing:
            raise CloudUnavailable(
                f"{asked} needs an account with {cls.company}: set {', '.join(missing)}", hint="Or give base_url of a server."
            )
        raise NoSandboxes(
            f"{asked}: this package starts no sandboxes with {cls.company}",
            hint="Start the image there by their own means, and give base_url of its server.",
        )


_BUILDKIT_MOUNT = re.compile(r"[ \t]--mount=\S+")
_RUN_LINE = re.compile(r"^\s*RUN\b", re.IGNORECASE)


def strip_buildkit_syntax(dockerfile_content: str) -> str:
    """The Dockerfile without ``--mount=…`` on its RUN lines, for builders that do not know it."""
    lines: list[str] = []
    inside = False
    for line in dockerfile_content.split("\n"):
        inside = inside or bool(_RUN_LINE.match(line))
        lines.append(_BUILDKIT_MOUNT.sub("", line) if inside else line)
        inside = inside and line.rstrip().endswith("\\")
    return "\n".join(lines)
