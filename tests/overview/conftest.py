"""The overview's snippets as a user has them: files in a folder of their own, imported and served from there."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import openenv
import openenv.core
from tests.support.processes import ROOT, Server, Servers

SNIPPETS = Path(__file__).parent / "snippets"
PACKAGES = ("openenv", "openenv.core")
"""Where a snippet may take the framework's names from."""


@dataclass
class Snippets:
    """The files of ``snippets/`` with the framework's names taken from ``package``."""

    package: str
    folder: Path
    serve: Servers

    @property
    def client(self) -> Any:
        """The client for plain JSON: ``EnvClient`` itself, which in OpenEnv 0.10, and so in ``openenv.core``, is abstract."""
        return openenv.EnvClient if self.package == "openenv" else openenv.core.GenericEnvClient

    @property
    def framework(self) -> ModuleType:
        """The package."""
        return import_module(self.package)

    def names(self, module: str) -> dict[str, Any]:
        """What the module defines."""
        return runpy.run_path(str(self._written(module)))

    def served(self, module: str, **options: Any) -> Server:
        """A server of the module's ``app``."""
        self._written(module)
        return self.serve(f"{module}:app", cwd=self.folder, **options)

    def _written(self, module: str) -> Path:
        text = (SNIPPETS / f"{module}.py").read_text()
        path = self.folder / f"{module}.py"
        path.write_text(text.replace("from openenv import", f"from {self.package} import"))
        return path


@pytest.fixture(params=PACKAGES)
def snippets(request: pytest.FixtureRequest, tmp_path: Path, serve: Servers) -> Snippets:
    """The snippets, once for each package."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Snippets(request.param, folder, serve)


@pytest.fixture(scope="module")
def calendar_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the Calendar's named databases."""
    return tmp_path_factory.mktemp("databases")


@pytest.fixture(scope="module")
def calendar(module_serve: Servers, calendar_data: Path) -> Server:
    """``uvicorn main:app --reload`` in the Calendar's folder, as the overview starts it."""
    folder = ROOT / "envs" / "calendar_env"
    return module_serve("main:app", "--reload", uvicorn=True, cwd=folder, env={"OPENENV_CALENDAR_DATA": str(calendar_data)})
