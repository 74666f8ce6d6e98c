"""``openenv_core``: the older path leads to the same modules, and hides nothing of what is wrong with them."""

from __future__ import annotations

import importlib
import sys
import warnings

import pytest


@pytest.fixture(autouse=True)
def _older_path() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("openenv_core")


def test_one_module_under_two_names() -> None:
    old = importlib.import_module("openenv_core.containers.runtime.providers")
    new = importlib.import_module("openenv.core.containers.runtime.providers")
    assert old is new
    assert new.__spec__ is not None
    assert new.__spec__.name == "openenv.core.containers.runtime.providers"


@pytest.mark.parametrize("name", ["openenv_core.nothing", "openenv_core.rubrics.nothing"])
def test_a_module_that_is_not_there(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name):
        importlib.import_module(name)


def test_a_library_that_a_module_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("openenv_core", "openenv.core"):
        monkeypatch.delitem(sys.modules, f"{path}.env_server.route_config", raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ModuleNotFoundError, match="fastapi"):
        importlib.import_module("openenv_core.env_server.route_config")
