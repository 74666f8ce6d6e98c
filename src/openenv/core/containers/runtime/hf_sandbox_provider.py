"""Sandboxes of Hugging Face, by OpenEnv 0.10's name and arguments."""

from __future__ import annotations

from openenv.core.containers.runtime._cloud import CloudProvider

__all__ = ["HFSandboxProvider"]


class HFSandboxProvider(CloudProvider):
    """A `CloudProvider` of Hugging Face: it starts nothing, and says what it lacks."""

    company = "Hugging Face"
    library = "huggingface_hub"
    distribution = "huggingface_hub"
    variables = ("HF_TOKEN",)

    def __init__(self, *, image: str, env_vars: dict[str, str] | None = None, flavor: str = "cpu-basic") -> None:
        self.settings = {"image": image, "env_vars": dict(env_vars or {}), "flavor": flavor}
