"""The older import path of `openenv.core`: the same names, the same modules, and a warning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import openenv.core
from openenv.core import __all__ as __all__

warnings.warn("openenv_core is deprecated; import from openenv.core instead.", DeprecationWarning, stacklevel=2)

_OLD, _NEW = "openenv_core.", "openenv.core."


class _SameModule(MetaPathFinder, Loader):
    """Finds ``openenv_core.x`` as ``openenv.core.x``: one module under two names, so that its classes are the same."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(_OLD):
            return None
        new = _NEW + name.removeprefix(_OLD)
        try:
            module = importlib.import_module(new)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{new}.".startswith(f"{error.name}."):
                raise  # the module is there, and something that it needs is not
            return None
        return ModuleSpec(name, self, loader_state=module.__spec__)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[_NEW + spec.name.removeprefix(_OLD)]

    def exec_module(self, module: ModuleType) -> None:
        written = module.__spec__  # the alias's: the import system wrote it over the module's own
        assert written is not None
        module.__spec__ = written.loader_state


sys.meta_path.insert(0, _SameModule())  # before the finder of files, which would load a second copy


def __getattr__(name: str) -> Any:
    return getattr(openenv.core, name)


def __dir__() -> list[str]:
    return sorted(__all__)
