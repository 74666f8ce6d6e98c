"""The counts that ``make interop`` prints, written by the tests that made them: ``python -m tests.interop.counts``."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.support.processes import ROOT

__all__ = ["record"]

FOLDER = ROOT / "build" / "interop"


def record(name: str, counts: Any) -> None:
    """Keep the counts of one test module."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(counts, indent=1))


def main() -> int:
    """Print what the last run recorded."""
    found = sorted(FOLDER.glob("*.json"))
    for path in found:
        sys.stdout.write(f"{path.stem}: {_line(json.loads(path.read_text()))}\n")
    return 0 if found else 1


def _line(counts: Any) -> str:
    if not isinstance(counts, dict):
        return str(counts)
    return ", ".join(f"{_count(value)} {key}" for key, value in counts.items())


def _count(value: Any) -> Any:
    return len(value) if isinstance(value, (list, dict)) else value


if __name__ == "__main__":
    sys.exit(main())
