"""Medians, and how far the rounds lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Spread", "median", "ratios"]


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, with the smallest and the largest."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises ``StatisticsError`` when there are none."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1], len(ordered))


def median(values: Iterable[float]) -> float:
    """The median. Raises ``StatisticsError`` when there are no values."""
    return statistics.median(values)


def ratios(of: Mapping[int, float], to: Mapping[int, float]) -> list[float]:
    """For each round that both were measured in, in order: the one's figure as a multiple of the other's."""
    return [of[number] / to[number] for number in sorted(of.keys() & to.keys()) if to[number]]
