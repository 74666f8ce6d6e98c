"""Finding a suite: by the name under which an installed package offers it, or by path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from openenv.errors import ConfigurationError
from openenv.scenario import Suite, ToolCall

__all__ = ["SUITE_GROUP", "installed_suites", "load_suite", "settled", "suite_digest"]

SUITE_GROUP = "openenv.suites"
"""Entry points of this group name a package that holds ``suite.json`` and, if it likes, further files of scenarios."""

MAIN_FILE = "suite.json"


def installed_suites() -> dict[str, str]:
    """Names of the suites that installed packages offer, with the package that holds each."""
    return {point.name: point.value for point in sorted(entry_points(group=SUITE_GROUP), key=lambda point: point.name)}


def load_suite(name_or_path: str | Path) -> Suite:
    """Load a suite by the name of an installed one, or from a file or folder.

    A folder (or package) holds ``suite.json``; the scenarios of its other ``*.json`` files, in the order of their names,
    are added to those of ``suite.json``. Such a file is ``{"scenarios": […]}`` or a list of scenarios.

    Raises `ConfigurationError`, which names the file, the scenario and the field, when there is no such suite or it is wrong.
    """
    text = str(name_or_path)
    path = Path(text)
    if path.is_file():
        return _build([path], source=text)
    if path.is_dir():
        return _build(_json_files(path.iterdir()), source=text)
    for point in entry_points(group=SUITE_GROUP):
        if point.name == text:
            return _build(_json_files(_package_files(point)), source=f"the installed suite {text!r} ({point.value})")
    known = sorted(installed_suites())
    close = get_close_matches(text, known, n=3)
    told = f"Did you mean {' or '.join(close)}?" if close else f"Installed suites: {', '.join(known) or 'none'}."
    raise ConfigurationError(
        f"No suite {text!r}: no installed suite has this name, and there is no such file or folder", field="suite", hint=told
    )


def settled(suite: Suite) -> Suite:
    """The suite as data that can be read again: what it adds to every scenario is already there, and is not added twice."""
    return suite.model_copy(update={"ignored_changes": []})


def suite_digest(suite: Suite) -> str:
    """The SHA-256 of the settled suite's canonical JSON, in hexadecimal: equal suites, equal digests."""
    canonical = json.dumps(settled(suite).model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _package_files(point: EntryPoint) -> Iterable[Traversable]:
    try:
        return list(files(point.value).iterdir())
    except (ModuleNotFoundError, NotADirectoryError, FileNotFoundError) as error:
        raise ConfigurationError(
            f"The suite {point.name!r} names the package {point.value!r}, which cannot be read: {error}",
            hint="Install the package that offers it again, or give the path of a suite.",
        ) from error


def _json_files(entries: Iterable[Traversable]) -> list[Traversable]:
    found = sorted((entry for entry in entries if entry.name.endswith(".json") and entry.is_file()), key=lambda entry: entry.name)
    return sorted(found, key=lambda entry: entry.name != MAIN_FILE)


def _build(parts: Sequence[Traversable], *, source: str) -> Suite:
    if not parts or (len(parts) > 1 and parts[0].name != MAIN_FILE):
        raise ConfigurationError(f"{source} has no {MAIN_FILE}", field="suite", hint=f"A suite's folder holds {MAIN_FILE}.")
    body = _read(parts[0])
    if not isinstance(body, dict):
        raise ConfigurationError(
            f"{parts[0]}: a suite is a JSON object, not {type(body).__name__}",
            hint='Begin with {"name": …, "environment": …, "scenarios": […]}.',
        )
    scenarios = _scenarios(body, parts[0], required=len(parts) == 1)
    origin = [parts[0].name] * len(scenarios)
    for part in parts[1:]:
        more = _scenarios(_read(part), part, required=True)
        scenarios += more
        origin += [part.name] * len(more)
    try:
        suite = Suite.model_validate(body | {"scenarios": scenarios})
    except ValidationError as error:
        raise _explained(error, scenarios, origin, parts[0].name, source) from None
    _check_contexts(suite)
    return suite


def _read(part: Traversable) -> Any:
    try:
        return json.loads(part.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{part} cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{part} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def _scenarios(body: Any, part: Traversable, *, required: bool) -> list[Any]:
    found = body.get("scenarios", None if required else []) if isinstance(body, dict) else body
    if not isinstance(found, list):
        raise ConfigurationError(f"{part} has no list of scenarios", field="scenarios", hint='Write {"scenarios": [{…}, …]}.')
    return list(found)


def _explained(
    error: ValidationError, scenarios: Sequence[Any], origin: Sequence[str], main: str, source: str
) -> ConfigurationError:
    first = error.errors(include_url=False, include_context=False)[0]
    place = list(first["loc"])
    where = main
    if len(place) >= 2 and place[0] == "scenarios" and isinstance(place[1], int):
        index = place[1]
        named = scenarios[index].get("id") if isinstance(scenarios[index], dict) else None
        where = f"{origin[index]}, scenario {named!r}" if isinstance(named, str) else f"{origin[index]}, scenario number {index}"
        place = place[2:]
    field = ".".join(str(step) for step in place) or None
    what = f"{field}: {first['msg']}" if field else first["msg"]
    count = error.error_count()
    return ConfigurationError(
        f"{source}: {where}: {what}",
        field=field,
        hint=f"{count} mistakes were found; this is the first." if count > 1 else None,
        errors=error.errors(include_url=False, include_context=False, include_input=False),
    )


def _check_contexts(suite: Suite) -> None:
    """An agent acts as one user: only set-up calls may act as somebody else."""

    def check(where: str, calls: Sequence[ToolCall], own: dict[str, str] | None) -> None:
        for number, call in enumerate(calls):
            if call.context and call.context != own:
                raise ConfigurationError(
                    f"{where}.{number}: {call.tool} has a context of its own, but the agent acts as the scenario's user",
                    field="context",
                    hint="Leave context away here; only setup calls may have one.",
                )

    check(f"suite {suite.name}: directory", suite.directory, None)
    for scenario in suite.scenarios:
        check(f"suite {suite.name}, scenario {scenario.id!r}: solution", scenario.solution, scenario.context)
