"""The tables that ``list_environments`` and ``list_actions`` write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openenv.auto._discovery import EnvironmentInfo

__all__ = ["write_table"]

_WIDTH = 70


def write_table(title: str, rows: Sequence[tuple[str, str, EnvironmentInfo]]) -> None:
    """Write each environment's key, what is said of it, and its package to the standard output."""
    lines = [f"{title}:", "-" * _WIDTH]
    for key, said, info in rows:
        lines += [f"  {key:<15}: {said}", f"  {'':<15}  Package: {info.package_name}"]
    if not rows:
        lines.append("  none is installed")
    lines += ["-" * _WIDTH, f"Total: {len(rows)}"]
    sys.stdout.write("\n".join(lines) + "\n")
