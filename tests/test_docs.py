"""Runs the code blocks of the README files and of docs/. CONTRIBUTING.md tells how a page marks what a block needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.markdown import Block, Example, examples
from tests.support.processes import ROOT, Server, Servers, free_port

PAGES = [
    *(ROOT / name for name in ("README.md", "MIGRATION.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("envs/*/README.md")),
]
EXAMPLES = [example for page in PAGES for example in examples(page)]
SHOWN_ONLY = {"", "diff", "dockerfile", "html", "http", "mermaid", "sql", "text", "yaml"}
BLOCK_TIMEOUT_S = 150


def name(example: Example) -> str:
    first = example.blocks[0]
    return f"{first.page.relative_to(ROOT)}:{first.line}"


@dataclass
class Runner:
    """Runs one example: keeps its folder, its servers, and the free ports that stand in for those written in it."""

    folder: Path
    servers: Servers
    ports: dict[str, str] = field(default_factory=dict)

    def run(self, block: Block) -> None:
        if port := block.markers.get("port"):
            self.ports.setdefault(port, str(free_port()))
        if server := block.markers.get("server"):
            self.servers(server, port=int(self.ports[port]) if port else 0)
        text = self.with_free_ports(block.text)
        if target := block.markers.get("file"):
            (self.folder / target).write_text(text)
        elif block.language == "python":
            self.execute(block, [sys.executable, "-c", text])
        elif block.language in {"bash", "sh", "console"}:
            self.shell(block, text)
        elif block.language == "json":
            json.loads(text)
        elif block.language == "toml":
            tomllib.loads(text)
        else:
            assert block.language in SHOWN_ONLY, f"{block}: no way to test a block of {block.language!r}"

    def shell(self, block: Block, text: str) -> None:
        commands = list(console(text))
        if not commands:
            commands = [(text, "")]
        for command, expected in commands:
            if "background" in block.markers:
                self.background(block, command)
            else:
                output = self.execute(block, ["bash", "-euo", "pipefail", "-c", command])
                shown = missing_line(expected, output)
                assert shown is None, f"{block}: {shown!r} is not, in this order, in the output:\n{output}"

    def execute(self, block: Block, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.where(block),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{done.stdout}"
        return done.stdout

    def background(self, block: Block, command: str) -> Server:
        return self.servers.start(["bash", "-euc", command], env=environment(), cwd=self.where(block))

    def where(self, block: Block) -> Path:
        return ROOT if "repository" in block.markers else self.folder

    def with_free_ports(self, text: str) -> str:
        for written, free in self.ports.items():
            text = re.sub(rf"\b{written}\b", free, text)
        return text


def environment() -> dict[str, str]:
    """The environment of a reader who has activated ``.venv``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}


def console(text: str) -> list[tuple[str, str]]:
    """The commands of a transcript with the output shown below each; none when no line begins with a prompt."""
    commands: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], ""))
        elif commands:
            command, shown = commands[-1]
            if command.endswith("\\") and not shown:
                commands[-1] = (f"{command}\n{line.removeprefix('> ')}", shown)
            else:
                commands[-1] = (command, f"{shown}{line}\n")
    return commands


def missing_line(expected: str, output: str) -> str | None:
    """The first line of ``expected`` that does not follow in ``output``; spaces do not count, ``…`` stands for anything."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    position = 0
    for line in filter(str.strip, expected.splitlines()):
        wanted = re.escape(" ".join(line.split())).replace("…", ".*").replace(r"\.\.\.", ".*")
        while position < len(lines) and not re.fullmatch(wanted, lines[position]):
            position += 1
        if position == len(lines):
            return line.strip()
        if wanted != ".*":
            position += 1
    return None


@pytest.mark.docs
@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_example(example: Example, tmp_path: Path, serve: Servers) -> None:
    if example.elsewhere is not None:
        test = (ROOT / example.elsewhere).read_text()
        assert example.blocks[0].text.split()[0] in test
        return
    folder = tmp_path / "work"
    folder.mkdir()
    runner = Runner(folder, serve)
    for block in example.blocks:
        runner.run(block)


def test_markers_are_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- test: server=echo port=8000 -->\n\n```python\nprint(1)\n```\n\n<!-- test: continue -->\n```bash\ntrue\n```\n"
        "words\n\n1. a list\n\n   <!-- test: elsewhere=tests/x.py -->\n   ```bash\n   false\n   ```\n"
    )
    first, second = examples(page)
    assert [block.language for block in first.blocks] == ["python", "bash"]
    assert first.blocks[0].markers == {"server": "echo", "port": "8000"}
    assert first.elsewhere is None
    assert second.elsewhere == "tests/x.py"
    assert second.blocks[0].text == "false\n"


MISTAKES = ["<!-- test: sevrer=echo -->\n```\n```\n", "<!-- test: elsewhere -->\n```\n```\n", "```python\n"]


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_in_markers_are_named(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match=r"page\.md:1: "):
        examples(page)


def test_output_is_compared_line_by_line() -> None:
    [(command, shown)] = console("$ report --all \\\n>   --now\noracle   100 %\n…\ntook … s\n")
    assert command == "report --all \\\n  --now"
    assert missing_line(shown, "oracle 100 %\nnoop 0 %\ntook 1.5 s\n") is None
    assert missing_line(shown, "oracle 90 %\ntook 1.5 s\n") == "oracle   100 %"
    assert missing_line("b\na\n", "a\nb\n") == "a"
