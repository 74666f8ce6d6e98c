"""Sandboxes of Novita, by OpenEnv 0.10's name and arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openenv.core.containers.runtime._cloud import CloudProvider

__all__ = ["NovitaSandboxProvider"]


class NovitaSandboxProvider(CloudProvider):
    """A `CloudProvider` of Novita: it starts nothing, and says what it lacks."""

    company = "Novita"
    library = "novita_sandbox"
    distribution = "novita-sandbox"
    variables = ("NOVITA_API_KEY",)

    def __init__(
        self,
        *,
        image: str | None = None,
        env_vars: dict[str, str] | None = None,
        api_key: str | None = None,
        domain: str | None = None,
        timeout: int = 3600,
        metadata: dict[str, str] | None = None,
        secure: bool | None = None,
        cmd: str | None = None,
        working_directory: str | None = None,
        surface_server_logs: bool = False,
        cpu_count: int = 2,
        memory_mb: int = 1024,
        template_name: str | None = None,
        on_build_logs: Callable[[Any], None] | None = None,
        _adapter: Any = None,
    ) -> None:
        self.settings = {"image": image, "env_vars": dict(env_vars or {}), "domain": domain, "template_name": template_name}

    @classmethod
    def image_from_dockerfile(cls, dockerfile_path: str, context_dir: str | None = None) -> str:
        """Raises ``RuntimeError``: see `CloudProvider`."""
        cls.refuse("image_from_dockerfile")
