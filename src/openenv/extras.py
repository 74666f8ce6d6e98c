"""The optional libraries: which are there, and what to install where they are not."""

from __future__ import annotations

import importlib
from importlib import metadata
from types import ModuleType

__all__ = ["import_with_mcp", "missing_mcp_sdk"]

_OLDEST_MCP = (2, 3)


def missing_mcp_sdk() -> str | None:
    """Why the official MCP SDK cannot be used, or None when it can: it is not there, or an older line of it is."""
    try:
        found = metadata.version("mcp")
    except metadata.PackageNotFoundError:
        return "mcp is not installed"
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST_MCP:
        return f"mcp {found} is installed, and {'.'.join(map(str, _OLDEST_MCP))} is the oldest that will do"
    return None


def import_with_mcp(module: str) -> ModuleType:
    """A module that stands on the SDK. Raises ``ImportError`` that says why it cannot be had."""
    missing = missing_mcp_sdk()
    if missing is not None:
        raise ImportError(missing)
    return importlib.import_module(module)
