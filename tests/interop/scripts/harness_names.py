"""The public names of the harnesses, and how they are called."""

from __future__ import annotations

import enum
import inspect
from typing import Any

from pydantic import BaseModel

import openenv.core.harness
import openenv.core.harness.collect
from tests.interop.scripts.harness_toys import Cases

CASES = Cases()


@CASES.add
def names() -> Any:
    told: dict[str, Any] = {}
    for package in (openenv.core.harness, openenv.core.harness.collect):
        for name in package.__all__:
            found = getattr(package, name)
            told[name] = described(found)
    return told


def described(found: Any) -> Any:
    """A function's parameters; a class's, those of its public methods, and what else it says of itself."""
    if inspect.isfunction(found):
        return called(found)
    if not inspect.isclass(found):
        return sorted(found) if isinstance(found, frozenset) else str(found)
    if issubclass(found, enum.Enum):
        return {one.name: one.value for one in found}
    inherited = {name for base in (BaseModel, Exception, dict) for name in dir(base)}
    public = [name for name in dir(found) if not name.startswith("_") and name not in inherited]
    told = {name: member(inspect.getattr_static(found, name)) for name in public}
    if issubclass(found, BaseModel):
        told["(fields)"] = {name: [field.is_required(), field.alias] for name, field in found.model_fields.items()}
    elif "__init__" in vars(found):
        told["(made)"] = called(found.__init__)
    told["(abstract)"] = sorted(getattr(found, "__abstractmethods__", ()))
    return told


def member(found: Any) -> Any:
    plain = found.__func__ if isinstance(found, (classmethod, staticmethod)) else found
    return [type(found).__name__, called(plain)] if inspect.isfunction(plain) else type(found).__name__


def called(function: Any) -> Any:
    """Its parameters: their kinds, and whether they have a default; and whether it is to be awaited."""
    parameters = inspect.signature(function).parameters.values()
    told = [f"{one.name} {one.kind.name}{'' if one.default is one.empty else ' ='}" for one in parameters]
    return [*told, "awaited"] if inspect.iscoroutinefunction(function) else told
