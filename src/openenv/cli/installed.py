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
    module = target.removesuffix(".py")
    if module.isidentifier() and Path(f"{module}.py").is_file():
        close = [f"{module}:app"]
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
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise ConfigurationError(
                f"{target!r} cannot be loaded: there is no module {error.name!r}",
                hint="Modules are looked for in this folder and among what is installed.",
            ) from None
        there = [name for name, value in vars(found).items() if _is_app(value)]
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise ConfigurationError(
                    f"{target!r} cannot be loaded: {module} has no {attribute!r}",
                    hint=f"Its applications: {', '.join(f'{module}:{name}' for name in there) or 'none'}.",
                    example="app = create_app(MyEnvironment)",
                )
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
    if not _is_app(app):
        raise ConfigurationError(
            f"{target!r} is not an application made by openenv.create_app", hint="Point to the app, as in server.app:app."
        )
    return app


def _is_app(value: Any) -> bool:
    return getattr(getattr(value, "state", None), "openenv", None) is not None
