"""The house rules that a machine can check: what tracked files may not name, versions, lock files, sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import openenv
from openenv.version import __version__
from tests.support.processes import ROOT

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 70
FOREIGN = ROOT / "tests" / "interop" / "packages"
"""Packages as authors of OpenEnv 0.10 write them."""
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
ENVIRONMENTS = sorted(path.parent for path in (ROOT / "envs").glob("*/pyproject.toml"))

# Written in pieces, so that this file does not contain what it looks for.
MACHINE_PATHS = re.compile(r"(?<![\w.-])(?:/wo" r"rk/|/tmp/w" r"/|/ro" r"ot/|/home/[a-z]+/)")
REGISTRY_HOSTS = re.compile("|".join(["pypi" r"\.org", "pythonhosted" r"\.org", "registry" r"\.npmjs", "deb" r"\.debian\.org"]))


def tracked() -> list[Path]:
    """The files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=20)
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return [path for path in paths if path.is_file()]


def matches(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """``path:line: text`` for every line of the text files that the pattern finds."""
    found = []
    for path in files:
        data = path.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_no_file_names_a_path_of_one_machine() -> None:
    assert matches(MACHINE_PATHS, tracked()) == []


def test_no_file_names_a_package_registry() -> None:
    assert matches(REGISTRY_HOSTS, tracked()) == []


def test_lock_files_pin_hashes_and_name_no_address() -> None:
    assert [path.name for path in LOCKS] == ["demo.txt", "dev.txt", "reference.txt"]
    for path in LOCKS:
        text = path.read_text()
        assert not re.search(r"https?://|file:|--index-url|--extra-index-url|--find-links| @ |^-e ", text, re.MULTILINE), path
        pins = re.findall(r"^([A-Za-z0-9][\w.-]*)==\S+.*\\\n(\s+--hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)
        names = re.findall(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)
        assert [name for name, _ in pins] == names, path


def test_only_the_reference_resolves_openenv_from_an_index() -> None:
    locked = {path.name: re.findall(r"^openenv\S*==\S+", path.read_text(), re.MULTILINE) for path in LOCKS}
    assert locked == {"demo.txt": [], "dev.txt": [], "reference.txt": ["openenv==0.10.0"]}


def test_locks_agree_with_each_other() -> None:
    versions = [dict(re.findall(r"^(\S+)==(\S+)", path.read_text(), re.MULTILINE)) for path in LOCKS[:2]]
    demo, dev = versions
    assert {name: dev.get(name) for name in demo} == demo


def test_locks_hold_what_the_projects_ask_for() -> None:
    def asked(project: Path, *groups: str) -> list[str]:
        value = tomllib.loads(project.read_text())
        grouped = [line for name in groups for line in value["dependency-groups"][name]]
        return [*value["project"].get("dependencies", ()), *grouped]

    everything = asked(ROOT / "pyproject.toml", "dev", "build")
    for env in ENVIRONMENTS:
        everything += asked(env / "pyproject.toml")
    demonstrated = asked(ROOT / "pyproject.toml", "build")
    if (ROOT / "envs" / "calendar_env" / "pyproject.toml").exists():
        demonstrated += asked(ROOT / "envs" / "calendar_env" / "pyproject.toml")

    for lock, lines in (("dev.txt", everything), ("demo.txt", demonstrated)):
        pinned = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))
        for requirement in map(Requirement, lines):
            if not requirement.name.startswith("openenv"):
                assert requirement.specifier.contains(pinned.get(requirement.name, "0")), f"{lock}: {requirement}; run: make lock"


def test_the_version_is_the_newest_heading_of_the_changelog() -> None:
    headings = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings
    assert headings[0] == __version__


def test_the_openenv_that_is_imported_is_this_one() -> None:
    assert openenv.__file__ is not None
    assert Path(openenv.__file__).resolve().is_relative_to(ROOT / "src" / "openenv")
    installed = metadata.version("openenv")
    assert installed == __version__
    assert tuple(int(part) for part in installed.split(".")[:2]) > (0, 10)


def test_every_environment_is_a_complete_package() -> None:
    needed = ["pyproject.toml", "openenv.yaml", "README.md", "Dockerfile"]
    missing = [f"{env.name}/{name}" for env in ENVIRONMENTS for name in needed if not (env / name).is_file()]
    assert missing == []


def test_every_environment_takes_openenv_from_its_path() -> None:
    for env in ENVIRONMENTS:
        project = tomllib.loads((env / "pyproject.toml").read_text())
        source = project.get("tool", {}).get("uv", {}).get("sources", {}).get("openenv", {})
        assert "path" in source, f"{env.name}/pyproject.toml: [tool.uv.sources] openenv must be a path"
        assert (env / source["path"] / "src" / "openenv").is_dir()


def test_modules_are_short() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: count for name, count in lines.items() if count > MAX_MODULE_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": length
        for path in python_files()
        for node in functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_modules_with_functions_postpone_annotations() -> None:
    without = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if any(functions(path))
        and not path.is_relative_to(FOREIGN)
        and "from __future__ import annotations" not in path.read_text()
    ]
    assert without == []
