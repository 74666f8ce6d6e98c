"""Tables, for the terminal and for a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.spread import Spread

__all__ = ["Table", "figure", "shown"]


def figure(value: float) -> str:
    """A number with as many digits as are worth reading: 12,345, 123, 12.3, 1.23, 0.123."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(values: Sequence[float], unit: str = "") -> str:
    """The median of some rounds, with the smallest and the largest in brackets; nothing where there are none."""
    if not values:
        return ""
    seen = Spread.of(values)
    text = f"{figure(seen.median)}{unit}"
    return text if seen.rounds == 1 else f"{text} ({figure(seen.low)} to {figure(seen.high)})"


@dataclass(frozen=True)
class Table:
    """A title, the columns' names, and rows of texts. What looks like a number is set flush right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """For a terminal."""
        cells = [list(self.columns), *([cell.replace("**", "") for cell in row] for row in self.rows)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.columns))]
        right = self._right()
        lines = [self.title]
        for row in cells:
            padded = [cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(row, widths, right, strict=True)]
            lines.append("  " + "  ".join(padded).rstrip())
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def markdown(self) -> str:
        """For a page."""
        marks = ["---:" if right else "---" for right in self._right()]
        lines = [f"### {self.title}", "", _line(self.columns), "|" + "|".join(marks) + "|", *(_line(row) for row in self.rows)]
        if self.notes:
            lines += ["", *(f"{note}" for note in self.notes)]
        return "\n".join(lines)

    def _right(self) -> list[bool]:
        return [
            bool(self.rows) and all(not row[place] or row[place].lstrip("-")[0].isdigit() for row in self.rows) and place > 0
            for place in range(len(self.columns))
        ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
