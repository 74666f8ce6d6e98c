"""Which environments are installed: the distributions called ``openenv-…``, and the classes that each brings."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "EnvironmentDiscovery",
    "EnvironmentInfo",
    "UnknownEnvironment",
    "get_discovery",
    "is_hub_name",
    "known_environment",
    "reset_discovery",
]

_PREFIX = "openenv-"
_NOT_ENVIRONMENTS = frozenset({"openenv-core"})
_ENTRY_POINTS = "openenv.environments"
_MANIFEST = "openenv.yaml"
_SCALAR = re.compile(r"^(?P<key>[A-Za-z_]\w*):[ \t]+(?P<value>[^#\n]*?)[ \t]*(?:#.*)?$", re.MULTILINE)


class UnknownEnvironment(ValueError):
    """No installed environment has this name; the text names those that there are."""


@dataclass
class EnvironmentInfo:
    """An installed environment: its names, and where its classes are."""

    env_key: str
    name: str
    package_name: str
    version: str
    description: str
    client_module_path: str
    client_class_name: str
    action_class_name: str
    observation_class_name: str
    default_image: str
    spec_version: int | None = None
    manifest: dict[str, Any] | None = None
    """The manifest's keys that have one value each."""

    def get_client_class(self) -> type[Any]:
        """The client's class. Raises ``ImportError`` where the package has none."""
        return self._class(self.client_class_name, "client")

    def get_action_class(self) -> type[Any]:
        """The action's class. Raises ``ImportError`` where the package has none."""
        return self._class(self.action_class_name, "models")

    def get_observation_class(self) -> type[Any]:
        """The observation's class. Raises ``ImportError`` where the package has none."""
        return self._class(self.observation_class_name, "models")

    def _class(self, name: str, submodule: str) -> type[Any]:
        """The class of this name, in any spelling of its capitals, from the client's module, the models or the package."""
        package = self.client_module_path.rpartition(".")[0]
        tried: list[str] = []
        for path in dict.fromkeys((f"{package}.{submodule}", self.client_module_path, package)):
            try:
                module = importlib.import_module(path)
            except ModuleNotFoundError as error:
                if error.name is None or not (path == error.name or path.startswith(f"{error.name}.")):
                    raise  # the module is there, and something that it needs is not
                tried.append(path)
                continue
            found = {key.lower(): value for key, value in vars(module).items() if isinstance(value, type)}
            if name.lower() in found:
                return found[name.lower()]
            tried.append(path)
        raise ImportError(f"{self.package_name} has no class {name}: looked in {', '.join(tried)}")


class EnvironmentDiscovery:
    """Finds the installed environments, and remembers them until `clear_cache`."""

    def __init__(self) -> None:
        self._found: dict[str, EnvironmentInfo] | None = None

    def discover(self, use_cache: bool = True) -> dict[str, EnvironmentInfo]:
        """The environments by their key: ``echo`` for ``openenv-echo`` or ``openenv-echo-env``."""
        if self._found is None or not use_cache:
            self._found = {info.env_key: info for info in sorted(_installed(), key=lambda info: info.env_key)}
        return dict(self._found)

    def get_environment(self, env_key: str) -> EnvironmentInfo | None:
        """The environment of this key."""
        return self.discover().get(env_key)

    def get_environment_by_name(self, name: str) -> EnvironmentInfo | None:
        """The environment of this name in any of its forms: ``echo``, ``echo-env``, ``echo_env``, ``openenv-echo``."""
        return self.get_environment(_key_of(name))

    def list_environments(self) -> None:
        """Write a table of the environments to the standard output."""
        from openenv.auto._listing import write_table

        found = self.discover().values()
        write_table(
            "Available OpenEnv environments", [(info.env_key, f"{info.description} (v{info.version})", info) for info in found]
        )

    def clear_cache(self) -> None:
        """Forget what was found, as after an installation."""
        self._found = None
        importlib.invalidate_caches()


_discovery = EnvironmentDiscovery()


def get_discovery() -> EnvironmentDiscovery:
    """The one that `AutoEnv` and `AutoAction` use."""
    return _discovery


def reset_discovery() -> None:
    """Forget what it has found."""
    _discovery.clear_cache()


def known_environment(name: str) -> EnvironmentInfo:
    """The installed environment of this name.

    Raises:
        UnknownEnvironment: There is none; the text says which there are and which is close.
    """
    found = _discovery.get_environment_by_name(name)
    if found is not None:
        return found
    names = list(_discovery.discover())
    lines = [f"Unknown environment {name!r}."]
    if close := get_close_matches(_key_of(name), names, n=3):
        lines.append(f"Did you mean: {', '.join(close)}?")
    lines.append(f"Available environments: {', '.join(names) or 'none is installed'}")
    raise UnknownEnvironment("\n".join(lines))


def is_hub_name(name: str) -> bool:
    """Whether the name is one of the Hugging Face Hub, such as ``owner/name``, rather than an installed environment's."""
    return "/" in name or "huggingface.co" in name


def _key_of(name: str) -> str:
    plain = re.sub(r"[-_.\s]+", "_", name.strip().lower())
    return plain.removeprefix("openenv_").removesuffix("_env") or plain


def _installed() -> Iterator[EnvironmentInfo]:
    for distribution in distributions():
        name = (distribution.metadata["Name"] or "").strip()
        normal = re.sub(r"[-_.]+", "-", name).lower()
        if not normal.startswith(_PREFIX) or normal in _NOT_ENVIRONMENTS:
            continue
        module, folder = _module_of(distribution, normal)
        yield _info(distribution, normal, module, _manifest(folder))


def _info(distribution: Distribution, package: str, module: str, manifest: dict[str, Any] | None) -> EnvironmentInfo:
    key = _key_of(package)
    told = manifest or {}
    said = told.get("description") or distribution.metadata["Summary"] or f"{key}_env environment"
    spec_version = str(told.get("spec_version", ""))
    return EnvironmentInfo(
        env_key=key,
        name=f"{key}_env",
        package_name=package,
        version=distribution.version,
        description=said,
        client_module_path=f"{module}.client",
        client_class_name=f"{_camel(key)}Env",
        action_class_name=told.get("action") or f"{_camel(key)}Action",
        observation_class_name=told.get("observation") or f"{_camel(key)}Observation",
        default_image=f"{key.replace('_', '-')}-env:latest",
        spec_version=int(spec_version) if spec_version.isdecimal() else None,
        manifest=manifest,
    )


def _module_of(distribution: Distribution, package: str) -> tuple[str, Path | None]:
    """The package that the distribution brings and its folder; an editable one names it only by its entry point."""
    key = _key_of(package)
    names = [
        point.value.partition(":")[0].partition(".")[0] for point in distribution.entry_points if point.group == _ENTRY_POINTS
    ]
    names += [f"{key}_env", key]
    names += (distribution.read_text("top_level.txt") or "").split()
    names += [path.parts[0] for path in distribution.files or () if len(path.parts) > 1 and path.suffix == ".py"]
    for name in dict.fromkeys(names):
        if not name.isidentifier():
            continue
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return name, Path(next(iter(spec.submodule_search_locations)))
    return f"{key}_env", None


def _manifest(folder: Path | None) -> dict[str, Any] | None:
    """The manifest in the package's folder, or beside it where the package is a folder of its project."""
    if folder is None:
        return None
    places = [folder / _MANIFEST]
    if (folder.parent / "pyproject.toml").is_file():
        places.append(folder.parent / _MANIFEST)
    for place in places:
        if place.is_file():
            text = place.read_text(encoding="utf-8", errors="replace")
            return {match["key"]: match["value"].strip("'\"") for match in _SCALAR.finditer(text)}
    return None


def _camel(key: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in key.split("_"))
