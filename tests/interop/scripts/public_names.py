"""The public names of OpenEnv 0.10 by module, for its interpreter: ``python public_names.py`` prints JSON.

A module's public names are its ``__all__``, or what it defines itself without an underscore in front.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from types import ModuleType

LEFT_OUT = "openenv.core.harness.capture"
"""A subsystem that is one row of the table."""


def names_of(module: ModuleType) -> list[str]:
    """Its public names."""
    declared = getattr(module, "__all__", None)
    if declared is not None:
        return sorted(declared)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted(name for name in own if not name.startswith("_") and not (name.endswith("T") and len(name) < 12))


def main() -> None:
    """Print them."""
    import openenv

    found: dict[str, list[str]] = {"openenv": names_of(openenv)}
    roots = [importlib.import_module(name) for name in ("openenv.auto", "openenv.core")]
    found |= {root.__name__: names_of(root) for root in roots}
    for info in (one for root in roots for one in pkgutil.walk_packages(root.__path__, f"{root.__name__}.")):
        private = any(part.startswith(("_", "test_", "gradio_")) for part in info.name.split("."))
        if private or info.name.startswith(LEFT_OUT):
            continue
        try:
            names = names_of(importlib.import_module(info.name))
        except ImportError:
            continue  # it needs what its own distribution does not bring; its package's names are known all the same
        if names:
            found[info.name] = names
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
