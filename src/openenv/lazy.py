"""Public names that are loaded when they are first used, so that a client never loads a server."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Names"]


class Names:
    """The names that a package hands on, by the module that each lives in; for its ``__getattr__``.

    A sub-package itself is handed on by naming it under its own path: ``{"openenv.core": ["core"]}``.
    """

    def __init__(self, package: str, homes: Mapping[str, Sequence[str]]) -> None:
        self._package = package
        self._home_of = {name: module for module, names in homes.items() for name in names}

    def get(self, name: str) -> Any:
        """The object of that name. Raises ``AttributeError`` for a name that is not handed on."""
        home = self._home_of.get(name)
        if home is None:
            raise AttributeError(f"module {self._package!r} has no attribute {name!r}")
        module = importlib.import_module(home)
        value = module if home == f"{self._package}.{name}" else getattr(module, name)
        vars(sys.modules[self._package])[name] = value
        return value
