"""What two servers said differently, and which of it is accepted, with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["ABSENT", "Accepted", "Difference", "differences", "unexplained"]


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()
"""Stands for a key or an entry that one side does not have."""


@dataclass(frozen=True)
class Difference:
    """One place where the answers differ; ``path`` has the keys and numbers that lead there, with dots between."""

    path: str
    theirs: Any
    ours: Any


@dataclass(frozen=True)
class Accepted:
    """Differences that are meant: of exchanges whose name fits, at paths that fit (``*`` for any run of characters)."""

    exchange: str
    path: str
    reason: str
    theirs: Any = ...
    """When given, what OpenEnv 0.10 must have said for this to count."""

    def explains(self, exchange: str, difference: Difference) -> bool:
        """Whether this is one of those."""
        fits = fnmatchcase(exchange, self.exchange) and fnmatchcase(difference.path, self.path)
        return fits and (self.theirs is ... or self.theirs == difference.theirs)


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[Difference]:
    """Every place where two answers differ; the order of an object's keys is none."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in {**theirs, **ours}:
            yield from differences(theirs.get(key, ABSENT), ours.get(key, ABSENT), f"{path}.{key}".lstrip("."))
    elif isinstance(theirs, list) and isinstance(ours, list):
        for index in range(max(len(theirs), len(ours))):
            their, our = (side[index] if index < len(side) else ABSENT for side in (theirs, ours))
            yield from differences(their, our, f"{path}.{index}".lstrip("."))
    elif type(theirs) is not type(ours) or theirs != ours:
        yield Difference(path, theirs, ours)


def unexplained(
    exchange: str, found: Sequence[Difference], accepted: Sequence[Accepted]
) -> tuple[list[Difference], set[Accepted]]:
    """The differences that nothing explains, and what explained the others."""
    left: list[Difference] = []
    used: set[Accepted] = set()
    for difference in found:
        reasons = [one for one in accepted if one.explains(exchange, difference)]
        used.update(reasons)
        if not reasons:
            left.append(difference)
    return left, used
