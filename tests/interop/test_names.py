"""Every public name of OpenEnv 0.10 is in the table of docs/compatibility.md, and what the table says of it is true."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import warnings
from pathlib import Path

import pytest

from tests.interop.counts import record
from tests.support.processes import ROOT

GOLDEN = Path(__file__).parent / "golden" / "names-0.10.0.json"
SCRIPT = Path(__file__).parent / "scripts" / "public_names.py"
TIERS = ("behaves", "import only")

NAMES: dict[str, list[str]] = json.loads(GOLDEN.read_text())
"""Module to its public names."""


def table() -> dict[str, tuple[str, str]]:
    """Name to its tier and remark."""
    text = (ROOT / "docs" / "compatibility.md").read_text().split("## Public names")[1]
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \| ?(.*?) ?\|$", text, re.MULTILINE)
    return {name: (tier, remark) for name, tier, remark in rows}


@pytest.mark.e2e
def test_the_golden_file_has_openenv_s_names(reference_python: Path) -> None:
    command = [str(reference_python), "-W", "ignore", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    assert json.loads(done.stdout) == NAMES


def test_every_name_is_in_the_table_once() -> None:
    names = {name for names in NAMES.values() for name in names}
    found = table()
    assert found.keys() == names
    assert {tier for tier, _ in found.values()} == set(TIERS)
    assert all(remark for tier, remark in found.values() if tier == "import only")
    counts = {tier: sum(one == tier for one, _ in found.values()) for tier in TIERS}
    record("public names", counts | {"absent": 0, "module paths": sum(map(len, NAMES.values()))})


@pytest.mark.parametrize("module", sorted(NAMES))
def test_every_name_imports_from_where_it_is(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []


def test_the_older_path_has_the_same_objects() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = importlib.import_module("openenv_core")
        types = importlib.import_module("openenv_core.env_server.types")
    new = importlib.import_module("openenv.core")
    assert all(getattr(old, name) is getattr(new, name) for name in NAMES["openenv.core"])
    assert types is importlib.import_module("openenv.core.env_server.types")


def used(path: Path) -> set[str]:
    """What a file imports and then makes use of, and the attributes that it reaches from what it imports."""
    tree = ast.parse(path.read_text())
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {one.asname or one.name.partition(".")[0]: one.name for one in node.names}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in imported:
            found.add(imported[node.id])
        elif isinstance(node, ast.Attribute):
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in imported:
                found.add(node.attr)
    return found


def test_what_behaves_is_used_by_a_test() -> None:
    """Beside this module and the tables of names and signatures, which do not call what they name."""
    lists = {"test_names.py", "public_names.py", "signatures.py"}
    folders = [ROOT / "tests" / "core", ROOT / "tests" / "interop", ROOT / "tests" / "overview"]
    words = set().union(*(used(path) for folder in folders for path in folder.rglob("*.py") if path.name not in lists))
    unused = [name for name, (tier, _) in table().items() if tier == "behaves" and name not in words]
    assert unused == []


def test_a_name_that_is_only_imported_is_not_used(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        "import a.b\nfrom c import D, E as F, G\n'H'\n# D\nG = 1\nx.I\na.b.J()\nF(K=1)\n\ndef D2():\n    from l import M\n    M\n"
    )
    assert used(source) == {"a.b", "b", "J", "E", "M"}
