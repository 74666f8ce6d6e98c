"""``python benchmarks/distributions.py NAME``: how many distributions a bare install of NAME brings, itself included.

Run by the interpreter of the virtual environment that NAME is installed in, with nothing of ours imported.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata

from packaging.requirements import Requirement

__all__ = ["needed_by"]


def needed_by(distribution: str) -> set[str]:
    """The distributions that a bare install of ``distribution`` brings, itself included, on this platform."""
    found: set[str] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(distribution, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        normal = re.sub(r"[-_.]+", "-", name).lower()
        if (normal, extras) in seen:
            continue
        seen.add((normal, extras))
        found.add(normal)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


if __name__ == "__main__":
    print(len(needed_by(sys.argv[1])))
