"""Sandboxes of Azure Container Apps, by OpenEnv 0.10's name and arguments."""

from __future__ import annotations

from typing import Any, Literal

from openenv.core.containers.runtime._cloud import CloudProvider

__all__ = ["ACASandboxProvider"]


class ACASandboxProvider(CloudProvider):
    """A `CloudProvider` of Azure Container Apps: it starts nothing, and says what it lacks."""

    company = "Azure"
    library = "azure"
    distribution = "azure-containerapps-sandbox azure-identity"
    variables = ("AZURE_SUBSCRIPTION_ID",)

    def __init__(
        self,
        *,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        sandbox_group: str | None = None,
        region: str | None = None,
        endpoint: str | None = None,
        credential: Any = None,
        cpu: str = "1000m",
        memory: str = "2048Mi",
        disk_size: str | None = None,
        auto_suspend_seconds: int = 900,
        auto_suspend_mode: Literal["Memory", "Disk"] = "Memory",
        labels: dict[str, str] | None = None,
        egress_policy: Any = None,
        anonymous_port: Literal[True] | None = None,
        image: str | None = None,
        env_vars: dict[str, str] | None = None,
        cmd: str | None = None,
        working_directory: str | None = None,
        surface_server_logs: bool = False,
        create_timeout: int = 300,
        polling_interval: int = 3,
        sdk_kwargs: dict[str, Any] | None = None,
        _adapter: Any = None,
    ) -> None:
        self.settings = {"image": image, "env_vars": dict(env_vars or {}), "region": region, "cpu": cpu, "memory": memory}

    @staticmethod
    def deny_all_egress(allow: list[str] | None = None) -> Any:
        """Raises ``RuntimeError``: see `CloudProvider`."""
        ACASandboxProvider.refuse("deny_all_egress")
