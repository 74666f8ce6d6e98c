"""The parts by name, in the order in which they are measured and shown."""

from __future__ import annotations

from benchmarks import calendar, connects, echo, encodings, environments, forks, imports, sessions
from benchmarks.part import Part

__all__ = ["PARTS"]

PARTS: dict[str, Part] = {
    "echo": echo,
    "environments": environments,
    "connects": connects,
    "sessions": sessions,
    "forks": forks,
    "encodings": encodings,
    "calendar": calendar,
    "imports": imports,
}
