"""Clients that need to know nothing of an environment's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from openenv.client.core import EnvClient


class GenericAction(dict[str, Any]):
    """An action by its fields: ``GenericAction(message="hello")``."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(fields)

    def __repr__(self) -> str:
        return f"GenericAction({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class GenericEnvClient(EnvClient[Mapping[str, Any] | BaseModel, dict[str, Any], dict[str, Any]]):
    """A client of any environment: actions are mappings (or models), observations and states are dicts."""
