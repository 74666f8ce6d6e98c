"""The public names, and the errors' codes as their docstring draws them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import openenv
from openenv import errors
from tests.support.processes import ROOT

SOURCE = ROOT / "src" / "openenv"


def test_every_public_name_is_there_and_in_order() -> None:
    assert openenv.__all__ == sorted(openenv.__all__)
    for name in openenv.__all__:
        assert getattr(openenv, name) is not None
    assert set(openenv.__all__) == set(dir(openenv))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = openenv.nothing


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn = inspect.getdoc(errors) or ""
    defined = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__]
    classes = {kind.__name__: kind for kind in defined if issubclass(kind, errors.OpenEnvError)}
    assert len(classes) == len(defined)
    for name, kind in classes.items():
        line = next(line for line in drawn.splitlines() if f"{name} " in line)
        assert kind.__doc__, name
        if name not in ("ToolFailed", "ServerError"):
            assert kind.code in line, name
    codes = [kind.code for name, kind in classes.items() if name != "ServerError"]
    assert len(codes) == len(set(codes))


def test_an_errors_body_has_what_is_known_and_nothing_else() -> None:
    assert errors.SessionError("gone").body() == {"message": "gone", "code": "SESSION_ERROR"}
    full = errors.ValidationFailed("bad", field="a", hint="b", example=1, errors=[{"loc": ["a"]}], details={"extra": 2})
    assert full.body() == {
        "message": "bad",
        "code": "VALIDATION_ERROR",
        "errors": [{"loc": ["a"]}],
        "field": "a",
        "hint": "b",
        "example": 1,
        "extra": 2,
    }


def _room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def _exported(path: Path) -> set[str] | None:
    """A module's ``__all__``, where it has one."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == "__all__" for one in node.targets):
            return set(ast.literal_eval(node.value))
    return None


def test_what_other_rooms_import_is_exported() -> None:
    """A module's ``__all__`` names what the rest of the project may build on."""
    files = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}
    exported = {module: _exported(path) for module, path in files.items()}
    missing = []
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.module is None or _room(node.module) == _room(module):
                continue
            names = exported.get(node.module)
            if names is not None:
                missing += [f"{module}: {node.module}.{one.name}" for one in node.names if one.name not in names]
    assert missing == []
