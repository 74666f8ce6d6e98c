"""Rates with honest intervals.

A rate over independent trials has Wilson's interval. Several trials of one scenario are not independent: they share its
difficulty. Then the interval is Wilson's at the effective sample size, which the variance between scenarios (the
cluster-robust one) determines. pass@k and pass^k use the unbiased estimators over each scenario's trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

__all__ = ["Rate", "clustered_rate", "clustered_variance", "pass_at_k", "pass_hat_k", "rate", "wilson"]

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Rate:
    """``passed`` of ``total``, with a 95 % interval; ``value``, ``low`` and ``high`` are ``None`` where nothing was counted."""

    passed: int
    total: int
    value: float | None
    low: float | None
    high: float | None


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's 95 % score interval for a share seen in a sample of this size (which may be an effective one, not whole)."""
    z2 = Z95 * Z95
    middle = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = Z95 / (1 + z2 / size) * sqrt(max(0.0, share * (1 - share)) / size + z2 / (4 * size * size))
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(passed: int, total: int) -> Rate:
    """The rate of independent trials."""
    if total == 0:
        return Rate(passed, total, None, None, None)
    low, high = wilson(passed / total, total)
    return Rate(passed, total, passed / total, low, high)


def clustered_rate(clusters: Iterable[Sequence[bool]]) -> Rate:
    """The rate over trials that come in clusters, one for each scenario.

    With one trial in each cluster, or one cluster alone, it is `rate`. Else the interval is Wilson's at the effective sample size
    ``p (1 - p) / clustered_variance``, never larger than the number of trials; where the rate is 0 or 1 the variance says
    nothing, and the number of clusters is taken.
    """
    kept = [list(cluster) for cluster in clusters if cluster]
    total = sum(len(cluster) for cluster in kept)
    passed = sum(sum(cluster) for cluster in kept)
    if total == len(kept) or len(kept) == 1:
        return rate(passed, total)
    share = passed / total
    low, high = wilson(share, _effective_size(kept, share, total))
    return Rate(passed, total, share, low, high)


def clustered_variance(clusters: Sequence[Sequence[bool]]) -> float:
    """The variance of the overall share when outcomes within a cluster hang together (cluster-robust, k/(k-1) corrected).

    With k clusters and n trials in all: ``k/(k-1) · Σ_c (Σ_i (x_ci − p))² / n²``.
    """
    total = sum(len(cluster) for cluster in clusters)
    share = sum(sum(cluster) for cluster in clusters) / total
    count = len(clusters)
    if count < 2:
        return 0.0
    spread = sum((sum(cluster) - len(cluster) * share) ** 2 for cluster in clusters)
    return count / (count - 1) * spread / total**2


def pass_at_k(outcomes: Sequence[bool], k: int) -> float:
    """The chance that at least one of k trials passes, estimated without bias from n ≥ k outcomes."""
    failed = len(outcomes) - sum(outcomes)
    return 1.0 - comb(failed, k) / comb(len(outcomes), k)


def pass_hat_k(outcomes: Sequence[bool], k: int) -> float:
    """The chance that all of k trials pass (pass^k), estimated without bias from n ≥ k outcomes."""
    return comb(sum(outcomes), k) / comb(len(outcomes), k)


def mean_over_scenarios(outcomes: Mapping[str, Sequence[bool]], k: int) -> tuple[float, float] | None:
    """pass@k and pass^k averaged over the scenarios that have at least k outcomes; ``None`` where none has."""
    kept = [cluster for cluster in outcomes.values() if len(cluster) >= k]
    if not kept:
        return None
    return (
        sum(pass_at_k(cluster, k) for cluster in kept) / len(kept),
        sum(pass_hat_k(cluster, k) for cluster in kept) / len(kept),
    )


def _effective_size(clusters: Sequence[Sequence[bool]], share: float, total: int) -> float:
    variance = clustered_variance(clusters)
    if share in (0.0, 1.0):
        return float(len(clusters))
    if variance == 0.0:
        return float(total)
    return min(float(total), share * (1 - share) / variance)
