"""What the interop tests share: the interpreter of OpenEnv 0.10, and servers of the toys under both frameworks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.cases import APPS
from tests.support.locks import only_one
from tests.support.processes import ROOT, Server, running

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def reference_python() -> Path:
    """The interpreter of a virtual environment that has ``openenv==0.10.0``, made once."""
    python = ROOT / "benchmarks/.venv-reference/bin/python"
    with only_one(ROOT / "build" / "reference.lock"):
        subprocess.run([ROOT / "scripts/setup.sh", "reference"], check=True, stdout=subprocess.DEVNULL)
    return python


@pytest.fixture(scope="session")
def mounted(tmp_path_factory: pytest.TempPathFactory, reference_python: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of several applications; ``reference=True`` under OpenEnv 0.10. Stopped at the end."""
    with running(tmp_path_factory.mktemp("mounted")) as servers:

        def start(apps: dict[str, str], *, reference: bool, paths: list[Path] | None = None) -> Server:
            python = str(reference_python) if reference else sys.executable
            environment = {
                **os.environ,
                "INTEROP_APPS": ",".join(f"{name}={target}" for name, target in apps.items()),
                "PYTHONPATH": os.pathsep.join(map(str, [HERE, *(paths or [])])),
                "PYTHONWARNINGS": "ignore",
            }
            command = [python, "-m", "uvicorn", "toys.mounted:app", "--host", "127.0.0.1", "--port", "0"]
            return servers.start(command, env=environment, cwd=HERE)

        yield start


@pytest.fixture(scope="session")
def their_server(mounted: Callable[..., Server]) -> Server:
    """OpenEnv 0.10 serving the toys."""
    return mounted(APPS, reference=True)


@pytest.fixture(scope="session")
def our_server(mounted: Callable[..., Server]) -> Server:
    """This project serving the toys."""
    return mounted(APPS, reference=False)
