"""Finding environments: by installed name, by folder, or by ``module:attribute``."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from openenv.errors import ConfigurationError

__all__ = ["environments", "load_app"]

GROUP = "openenv.environments"
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_APP_LINE = re.compile(r"^app:\s*['\"]?([\w.]+:[\w.]+)['\"]?\s*(?:#.*)?$", re.MULTILINE)


def environments() -> dict[str, EntryPoint]:
    """The installed environments by name."""
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load_app(target: str) -> Any:
    """The application of an installed environment, of a folder with an ``openenv.yaml``, or at ``module:attribute``.

    Raises `ConfigurationError` saying what was looked for and what there is.
    """
    installed = environments()
    if target in installed:
        return _checked(target, installed[target].load)
    path = Path(target)
    if path.is_dir():
        return _from_folder(path)
    if _TARGET.fullmatch(target):
        return _import(target)
    names = ", ".join(installed) or "none"
    close = get_close_matches(target, installed, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise ConfigurationError(
        f"no environment is called {target!r}, and there is no such folder",
        hint=f"{hint}Installed: {names}. A folder with an openenv.yaml or module:attribute works too.",
    )


def _from_folder(path: Path) -> Any:
    manifest = path / "openenv.yaml"
    if not manifest.is_file():
        raise ConfigurationError(f"{path} has no openenv.yaml", hint="Name an environment's folder.")
    found = _APP_LINE.search(manifest.read_text(encoding="utf-8"))
    if found is None:
        raise ConfigurationError(f"{manifest} has no line 'app: module:attribute'", hint="Add one: app: server.app:app")
    sys.path.insert(0, str(path.resolve()))
    return _import(found.group(1))


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")

    def load() -> Any:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        return found

    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return _checked(target, load)


def _checked(target: str, load: Callable[[], Any]) -> Any:
    try:
        app = load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{target!r} cannot be loaded: {error}", hint="Is everything that it needs installed?"
        ) from error
    if getattr(getattr(app, "state", None), "openenv", None) is None:
        raise ConfigurationError(
            f"{target!r} is not an application made by openenv.create_app", hint="Point to the app, as in server.app:app."
        )
    return app
