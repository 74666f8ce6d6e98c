"""What the bare install brings, and what importing the client loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.distributions import needed_by

SERVER_SIDE = ("fastapi", "starlette", "uvicorn", "typer")
SERVER_ROOMS = tuple(f"openenv.{room}" for room in ("server", "runtime", "middleware", "evaluation", "cli"))
CLIENT_SIDE = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection", "websockets"}
OF_THE_MACHINE = ("_sysconfigdata", "python_socks")
"""What Python itself has under a name of its own, and what websockets loads where it happens to be installed."""
MAX_DISTRIBUTIONS = 30


def loaded_by(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import openenv",
        "import openenv.client",
        "import openenv.types",
        "import openenv.errors",
        "from openenv import EnvClient, GenericEnvClient, SyncEnvClient, ToolClient",
        "from openenv import Connection, VectorEnvClient",
        "from openenv import Action, Observation, State, StepResult",
    ],
)
def test_client_names_load_no_server(statement: str) -> None:
    loaded = loaded_by(statement)
    packages = {".".join(name.split(".")[:depth]) for name in loaded for depth in (1, 2)}
    assert packages.isdisjoint(SERVER_SIDE + SERVER_ROOMS)


def test_a_client_of_the_usual_dialect_loads_no_other() -> None:
    loaded = loaded_by("from openenv import EnvClient; EnvClient('ws://h').sync()")
    assert not [name for name in loaded if name.startswith("openenv.client.v2") or name == "msgpack"]


@pytest.mark.parametrize(
    "statement",
    [
        "import openenv.client",
        "from openenv import EnvClient; EnvClient('ws://h').sync()",
        "from openenv import ToolClient; ToolClient('ws://h').sync()",
        "from openenv import Connection, VectorEnvClient; Connection('ws://h').sync()",
    ],
)
def test_the_client_loads_no_other_third_party_module(statement: str) -> None:
    before = {name.partition(".")[0] for name in loaded_by("")}
    after = {name.partition(".")[0] for name in loaded_by(statement)}
    others = after - before - {"openenv", *sys.stdlib_module_names} - CLIENT_SIDE
    assert {name for name in others if not name.startswith(OF_THE_MACHINE)} == set()


def test_importing_the_package_alone_loads_no_third_party_module() -> None:
    ours_or_standard = {"openenv", *sys.stdlib_module_names}
    before = {name.partition(".")[0] for name in loaded_by("")}
    after = {name.partition(".")[0] for name in loaded_by("import openenv")}
    assert after - before - ours_or_standard == set()


def test_the_bare_install_stays_small() -> None:
    brought = needed_by("openenv")
    assert {"openenv", "fastapi", "pydantic", "websockets"} <= brought
    assert len(brought) <= MAX_DISTRIBUTIONS, sorted(brought)
