"""The two documented ways to install the gym from its folder, in a copy of the repository and environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OUT_OF_REACH = (
    "No matching distribution",
    "Failed to fetch",
    "Connection refused",
    "Temporary failure",
    "client error (Connect)",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The environment's folder in a copy of what is under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=20).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file() and name.startswith(("src/", "envs/calendar_env/", "pyproject.toml", "README.md", "LICENSE")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / name)
    return tmp_path / "envs" / "calendar_env"


def run(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150)
    if done.returncode and any(sign in done.stderr for sign in OUT_OF_REACH):
        pytest.skip(f"no package index in reach; in {folder.name}: {' '.join(command)}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def where_from(python: Path, folder: Path) -> list[str]:
    """Whose packages that Python imports."""
    program = (
        "import calendar_env.server.app, openenv, openenv_wrapper; "
        "print(openenv.__file__, calendar_env.__file__, openenv_wrapper.__file__)"
    )
    return run([str(python), "-c", program], folder).split()


def expected(folder: Path) -> list[str]:
    names = ("calendar_env", "openenv_wrapper")
    return [str(folder.parents[1] / "src/openenv/__init__.py"), *(str(folder / name / "__init__.py") for name in names)]


@pytest.mark.timeout(300)
def test_pip_install(copy: Path) -> None:
    run([sys.executable, "-m", "venv", "venv"], copy)
    run(["venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt"], copy)
    assert where_from(copy / "venv/bin/python", copy) == expected(copy)


@pytest.mark.timeout(300)
def test_uv_sync(copy: Path) -> None:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if uv is None:
        pytest.skip("uv is not installed; run: pip install uv")
    run([uv, "sync", "--quiet", "--python", sys.executable], copy)
    assert where_from(copy / ".venv/bin/python", copy) == expected(copy)
