"""The parts by name, in the order in which they are measured and shown."""

from __future__ import annotations

from benchmarks import calendar, connects, echo, encodings, environments, forks, imports, isolation, sessions, workers
from benchmarks.part import Part

__all__ = ["PARTS"]

PARTS: dict[str, Part] = {
    "echo": echo,
    "environments": environments,
    "connects": connects,
    "sessions": sessions,
    "forks": forks,
    "encodings": encodings,
    "processes": isolation,
    "workers": workers,
    "calendar": calendar,
    "imports": imports,
}
