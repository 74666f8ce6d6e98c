"""What an environment may offer MCP clients beside its tools: documents to read, and prompts to begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

__all__ = ["PromptProvider", "ResourceProvider"]


@runtime_checkable
class ResourceProvider(Protocol):
    """An environment with documents: a task's description, a screenshot, a log. Reading one is no step.

    All values are MCP's JSON objects. The methods may be called before the first ``reset``; those of an
    `AsyncEnvironment` may be coroutines.
    """

    def list_resources(self) -> Sequence[Mapping[str, Any]]:
        """The documents: ``{"uri", "name", "mimeType"?, "description"?}``."""
        ...

    def list_resource_templates(self) -> Sequence[Mapping[str, Any]]:
        """Patterns of further addresses: ``{"uriTemplate", "name", …}``."""
        ...

    def read_resource(self, uri: str) -> Sequence[Mapping[str, Any]] | None:
        """The contents: ``{"uri", "mimeType", "text"}``, or ``blob`` in base64; None where there is no such document."""
        ...


@runtime_checkable
class PromptProvider(Protocol):
    """An environment with prompts for whoever works in it. An `AsyncEnvironment`'s methods may be coroutines."""

    def list_prompts(self) -> Sequence[Mapping[str, Any]]:
        """The prompts: ``{"name", "description"?, "arguments"?: [{"name", "required"?}]}``."""
        ...

    def get_prompt(self, name: str, arguments: Mapping[str, str]) -> Mapping[str, Any] | None:
        """A prompt: ``{"messages": [{"role", "content"}], "description"?}``; None where there is none of this name."""
        ...

    def complete_argument(self, name: str, argument: str, value: str) -> Sequence[str]:
        """What the value of an argument could become; the best first."""
        ...
