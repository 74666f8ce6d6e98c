"""Sandboxes of Daytona, by OpenEnv 0.10's name and arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openenv.core.containers.runtime._cloud import CloudProvider, strip_buildkit_syntax

__all__ = ["DaytonaProvider"]


class DaytonaProvider(CloudProvider):
    """A `CloudProvider` of Daytona: it starts nothing, and says what it lacks."""

    company = "Daytona"
    library = "daytona"
    distribution = "daytona"
    variables = ("DAYTONA_API_KEY",)

    def __init__(
        self,
        *,
        image: str | None = None,
        env_vars: dict[str, str] | None = None,
        api_key: str | None = None,
        public: bool = False,
        resources: Any | None = None,
        auto_stop_interval: int = 15,
        target: str | None = None,
        on_snapshot_create_logs: Callable[[str], None] | None = None,
        cmd: str | None = None,
        create_timeout: float = 300,
    ) -> None:
        self.settings = {"image": image, "env_vars": dict(env_vars or {}), "target": target, "cmd": cmd}

    @classmethod
    def image_from_dockerfile(cls, dockerfile_path: str, context_dir: str | None = None) -> str:
        """Raises ``RuntimeError``: see `CloudProvider`."""
        cls.refuse("image_from_dockerfile")

    @staticmethod
    def strip_buildkit_syntax(dockerfile_content: str) -> str:
        """The Dockerfile without ``--mount=…`` on its RUN lines."""
        return strip_buildkit_syntax(dockerfile_content)

    def refresh_preview_url(self) -> str:
        """Raises ``RuntimeError``: see `CloudProvider`."""
        self.refuse("refresh_preview_url")
