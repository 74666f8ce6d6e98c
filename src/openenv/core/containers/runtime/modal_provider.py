"""Sandboxes of Modal, by OpenEnv 0.10's name and arguments."""

from __future__ import annotations

from typing import Any

from openenv.core.containers.runtime._cloud import CloudProvider

__all__ = ["ModalProvider"]


class ModalProvider(CloudProvider):
    """A `CloudProvider` of Modal: it starts nothing, and says what it lacks."""

    company = "Modal"
    library = "modal"
    distribution = "modal"
    variables = ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET")

    def __init__(
        self,
        *,
        image: str | None = None,
        env_vars: dict[str, str] | None = None,
        app_name: str = "openenv",
        use_sandbox_v2: bool = False,
        timeout: int = 300,
        cmd: str | None = None,
        cpu: float | None = None,
        memory: int | None = None,
        surface_server_logs: bool = False,
        _adapter: Any = None,
    ) -> None:
        self.settings = {"image": image, "env_vars": dict(env_vars or {}), "app_name": app_name, "cmd": cmd}

    @classmethod
    def image_from_dockerfile(cls, dockerfile_path: str, context_dir: str | None = None) -> str:
        """Raises ``RuntimeError``: see `CloudProvider`."""
        cls.refuse("image_from_dockerfile")
