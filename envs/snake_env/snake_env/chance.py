"""Chance whose whole state is two numbers, so that it can be written down, copied and checked."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

SEEDS: Final = 2**63
"""Seeds are whole numbers from 0 up to, and without, this one."""

_MASK: Final = 2**64 - 1
_STRIDE: Final = 0x9E3779B97F4A7C15


@dataclass(slots=True)
class Chance:
    """SplitMix64, counting: number ``n`` depends on the seed and ``n`` alone.

    Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014. The seed is mixed once by itself, so
    that neighbouring seeds share nothing.
    """

    seed: int
    drawn: int = 0
    """How many numbers were drawn."""

    @classmethod
    def unforeseen(cls) -> Chance:
        """One that nobody can repeat."""
        return cls(secrets.randbelow(SEEDS))

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``; for a board's few cells, all are as likely as each other."""
        self.drawn += 1
        return _mixed(_mixed(self.seed) + self.drawn * _STRIDE) * limit >> 64


def checked_seed(seed: int) -> int:
    """The seed, or ``ValueError`` when it is out of range."""
    if not 0 <= seed < SEEDS:
        raise ValueError(f"a seed is a whole number from 0 to 2**63 - 1, not {seed}")
    return seed


def _mixed(value: int) -> int:
    value &= _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
