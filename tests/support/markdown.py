"""Reads the fenced code blocks of Markdown pages, with the markers that say how to run them (CONTRIBUTING.md)."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Block", "Example", "examples"]

_MARKERS = frozenset({"elsewhere", "continue", "background", "repository", "server", "port", "file"})
_MARKER = re.compile(r"^ *<!-- test: (?P<words>.*?) *-->\s*$")
_OPENING = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w+-]*)[^`]*$")


@dataclass(frozen=True)
class Block:
    """One fenced code block. ``markers`` maps each marker's name to its value, ``""`` where it has none."""

    page: Path
    line: int
    language: str
    text: str
    markers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass
class Example:
    """Blocks that run one after the other in one folder: the first, and those marked ``continue`` after it."""

    blocks: list[Block]

    @property
    def elsewhere(self) -> str | None:
        """The test file that runs what the example shows, where this one cannot; ``None`` when it is run here."""
        return next((block.markers["elsewhere"] for block in self.blocks if "elsewhere" in block.markers), None)


def examples(page: Path) -> list[Example]:
    """The examples of a page in order. Raises `ValueError` for a marker that there is not."""
    found: list[Example] = []
    for block in _blocks(page):
        if "continue" in block.markers and found:
            found[-1].blocks.append(block)
        else:
            found.append(Example([block]))
    return found


def _blocks(page: Path) -> list[Block]:
    lines = page.read_text().splitlines()
    found: list[Block] = []
    markers: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if marker := _MARKER.match(line):
            markers = _markers(marker["words"], f"{page.name}:{number}")
        elif opening := _OPENING.match(line):
            end = _end(lines, number, opening["fence"], f"{page.name}:{number}")
            text = textwrap.dedent("\n".join(lines[number:end])) + "\n"
            found.append(Block(page, number, opening["language"], text, markers))
            markers = {}
            number = end + 1
        elif line.strip():
            markers = {}
    return found


def _end(lines: list[str], start: int, fence: str, where: str) -> int:
    for number in range(start, len(lines)):
        closing = lines[number].strip()
        if closing.startswith(fence) and set(closing) == {fence[0]}:
            return number
    raise ValueError(f"{where}: the code block is never closed")


def _markers(words: str, where: str) -> dict[str, str]:
    markers = {name: value for name, _, value in (word.partition("=") for word in shlex.split(words))}
    if unknown := sorted(set(markers) - _MARKERS):
        raise ValueError(f"{where}: unknown marker {', '.join(unknown)}: there are {', '.join(sorted(_MARKERS))}")
    if markers.get("elsewhere") == "":
        raise ValueError(f"{where}: name the test file: <!-- test: elsewhere=tests/test_processes.py -->")
    return markers
