"""Prometheus metrics: counted as plain numbers on the way, turned into samples when somebody scrapes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from openenv.errors import OpenEnvError
from openenv.operation import Connection, Operation, Result

__all__ = ["CONTENT_TYPE", "Histogram", "Metrics", "workers_up"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)

_GROWTH: Final = 1.15
_BOUNDS: Final = [1e-6 * _GROWTH**power for power in range(150)]
"""Upper bounds in seconds, from a microsecond to about twenty minutes; a quantile is right to 15 per cent."""
_BUCKETS: Final = f"1e-6*{_GROWTH}**{len(_BOUNDS)}"
"""What these bounds are called: only what was counted in the same ones can be added up."""

_AT_ONCE: Final = 256
_STEPS: Final = frozenset({"step", "call_tool"})
_KINDS: Final = {
    "VALIDATION_ERROR": "validation",
    "INVALID_ARGUMENTS": "validation",
    "INVALID_JSON": "validation",
    "UNKNOWN_TYPE": "validation",
    "TOOL_NOT_FOUND": "validation",
    "EXECUTION_ERROR": "execution",
    "TOOL_SERVER_FAILED": "execution",
    "LANE_LOST": "timeout",
    "WORKER_CRASHED": "execution",
    "WORKER_MEMORY": "execution",
    "WORKER_TIMEOUT": "timeout",
    "TOOL_TIMEOUT": "timeout",
    "FACTORY_ERROR": "factory",
    "SESSION_ERROR": "session",
    "CAPACITY_REACHED": "capacity",
    "OVERLOADED": "capacity",
    "UNAUTHENTICATED": "auth",
    "FORBIDDEN": "auth",
    "RATE_LIMITED": "rate_limit",
}


class Histogram:
    """Durations in geometric buckets: cheap to add to, and two can be added up."""

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    @property
    def number(self) -> int:
        """How many durations."""
        return sum(self.counts)

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds

    def observe_all(self, seconds: list[float]) -> None:
        """Add many, which are sorted for it: each costs a fourth of what one alone does."""
        seconds.sort()
        counted, number = 0, len(seconds)
        bucket = bisect_left(_BOUNDS, seconds[0]) if seconds else 0
        while counted < number:
            reached = bisect_right(seconds, _BOUNDS[bucket], counted) if bucket < len(_BOUNDS) else number
            self.counts[bucket] += reached - counted
            counted, bucket = reached, bucket + 1
        self.total += sum(seconds)

    def export(self) -> dict[str, Any]:
        """Everything in it, as JSON can say it: ``counts`` by bucket (those that are not 0), and ``total``."""
        counts = {str(index): count for index, count in enumerate(self.counts) if count}
        return {"counts": counts, "total": self.total}

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Add what another one has exported."""
        for index, count in exported["counts"].items():
            self.counts[int(index)] += count
        self.total += exported["total"]

    def quantile(self, share: float) -> float:
        """The upper bound of the bucket in which this share of the durations is reached; 0 when there are none."""
        number = self.number
        wanted = share * number
        seen = 0
        for count, bound in zip(self.counts, _BOUNDS, strict=False):
            seen += count
            if seen and seen >= wanted:
                return bound
        return _BOUNDS[-1] if number else 0.0


class Metrics(Collector):
    """Counts steps, their durations, errors and sessions of one environment.

    Args:
        env: The environment's name, the label ``env`` of every sample.
        active_sessions: Asked when the metrics are read.
    """

    def __init__(self, env: str, active_sessions: Callable[[], int]) -> None:
        self._env = env
        self._active_sessions = active_sessions
        self._active_elsewhere = 0
        self._succeeded = 0
        self._failed = 0
        self._durations = Histogram()
        self._waiting: list[float] = []
        """Durations of steps that went well and are not sorted in yet."""
        self._errors: dict[str, int] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def __str__(self) -> str:
        return "/metrics"

    def after(self, operation: Operation, result: Result) -> None:
        """Count one operation."""
        if operation.op in _STEPS:
            if result.error is None and result.tool_error is None:
                self._waiting.append(result.seconds)
                if len(self._waiting) >= _AT_ONCE:
                    self._sort_in()
                return
            self._failed += 1
            if result.seconds:
                self._durations.observe(result.seconds)
        error = result.error or result.tool_error
        if error is not None:
            self._count(_KINDS.get(error.code, "tool" if result.error is None else "other"))

    def refused(self, connection: Connection, error: OpenEnvError) -> None:
        """Count one refusal at the door."""
        self._count(_KINDS.get(error.code, "other"))

    def export(self) -> dict[str, Any]:
        """Everything counted so far, as JSON can say it, for `merge` in another process."""
        self._sort_in()
        return {
            "buckets": _BUCKETS,
            "steps": {"success": self._succeeded, "error": self._failed},
            "durations": self._durations.export(),
            "active_sessions": self._active_sessions() + self._active_elsewhere,
            "errors": dict(self._errors),
        }

    def merge(self, exported: Mapping[str, Any]) -> None:
        """Add what another process has counted: sums are summed, and quantiles come from the summed buckets.

        Raises ``ValueError`` for buckets with other bounds.
        """
        if exported["buckets"] != _BUCKETS:
            raise ValueError(f"buckets {exported['buckets']!r} cannot be added to buckets {_BUCKETS!r}")
        self._succeeded += exported["steps"]["success"]
        self._failed += exported["steps"]["error"]
        self._durations.merge(exported["durations"])
        self._active_elsewhere += exported["active_sessions"]
        for kind, count in exported["errors"].items():
            self._count(kind, count)

    def _sort_in(self) -> None:
        self._succeeded += len(self._waiting)
        self._durations.observe_all([seconds for seconds in self._waiting if seconds])
        self._waiting.clear()

    def _count(self, kind: str, times: int = 1) -> None:
        self._errors[kind] = self._errors.get(kind, 0) + times

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """The samples, as prometheus-client's registry asks for them."""
        self._sort_in()
        steps = CounterMetricFamily("openenv_steps", "Steps and tool calls, by outcome", labels=["env", "status"])
        steps.add_metric([self._env, "success"], self._succeeded)
        steps.add_metric([self._env, "error"], self._failed)
        durations = SummaryMetricFamily(
            "openenv_step_duration_seconds", "Time that the environment took for a step", labels=["env"]
        )
        for share in QUANTILES:
            labels = {"env": self._env, "quantile": str(share)}
            durations.add_sample("openenv_step_duration_seconds", labels, self._durations.quantile(share))
        durations.add_metric([self._env], self._durations.number, self._durations.total)
        sessions = GaugeMetricFamily("openenv_active_sessions", "Sessions that are open", labels=["env"])
        sessions.add_metric([self._env], self._active_sessions() + self._active_elsewhere)
        errors = CounterMetricFamily("openenv_errors", "Operations refused or failed, by kind", labels=["env", "type"])
        for kind in sorted({"execution", "validation", *self._errors}):
            errors.add_metric([self._env, kind], self._errors.get(kind, 0))
        return [steps, durations, sessions, errors]


def workers_up(env: str, answered: Mapping[int, bool]) -> bytes:
    """Which workers have answered, as text to add to `Metrics.render`."""
    family = GaugeMetricFamily("openenv_worker_up", "Whether the worker answered when this was read", labels=["env", "worker"])
    for worker, did in sorted(answered.items()):
        family.add_metric([env, str(worker)], float(did))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(family))
    return generate_latest(registry)


class _Ready(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]
