"""What must hold, what was measured, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.spread import median
from benchmarks.tables import Table, figure, shown

__all__ = ["Gate", "at_least", "at_most", "gates_table"]


@dataclass(frozen=True)
class Gate:
    """One claim with its bound."""

    claim: str
    bound: str
    measured: str
    holds: bool | None
    """None when it was not measured."""
    remark: str = ""


def at_least(claim: str, bound: float, values: Iterable[float], *, unit: str = "", remark: str = "") -> Gate:
    """The median of the rounds must not be below ``bound``."""
    return _gate(claim, "≥", bound, list(values), unit, remark)


def at_most(claim: str, bound: float, values: Iterable[float], *, unit: str = "", remark: str = "") -> Gate:
    """The median of the rounds must not be above ``bound``."""
    return _gate(claim, "≤", bound, list(values), unit, remark)


def _gate(claim: str, sign: str, bound: float, values: Sequence[float], unit: str, remark: str) -> Gate:
    limit = f"{sign} {figure(bound)}{unit}"
    if not values:
        return Gate(claim, limit, "not measured", None, remark)
    seen = median(values)
    return Gate(claim, limit, shown(values, unit), seen >= bound if sign == "≥" else seen <= bound, remark)


def gates_table(gates: Sequence[Gate]) -> Table:
    """All of them, each with its verdict."""
    verdicts = {True: "holds", False: "**does not hold**", None: "not measured"}
    rows = [[gate.claim, gate.bound, gate.measured, verdicts[gate.holds], gate.remark] for gate in gates]
    return Table("What must hold", ["claim", "bound", "measured", "", "remark"], rows)
