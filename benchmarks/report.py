"""Turns measurements into tables on the terminal and one JSON object."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.calendar import Cost
from benchmarks.echo import BARE, CHAIN, EARLIER, FLOOR, OURS, REFERENCE, Round

__all__ = ["Report"]

_LOAD_BOUND = 0.9


@dataclass
class Report:
    """Everything that one run measured."""

    echo: list[Round] = field(default_factory=list)
    calendar: list[Cost] = field(default_factory=list)
    imports: list[tuple[float, float]] = field(default_factory=list)

    def text(self) -> str:
        """The tables."""
        parts = [self._echo_table(sessions) for sessions in self._session_counts()]
        if self.calendar:
            parts.append(self._calendar_table())
        if self.imports:
            client = statistics.median(pair[0] for pair in self.imports)
            ratio = statistics.median(ours / libraries for ours, libraries in self.imports)
            parts.append(f"importing the client: {client:.2f} s, {ratio:.1f} times pydantic and websockets alone")
        return "\n\n".join(parts)

    def write(self, path: Path) -> None:
        """Write every measurement, with the medians of the ratios, as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        value = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.platform()},
            "cpu ratios to the earlier commit": {str(count): self.cpu_ratios(count) for count in self._session_counts()},
            "ratios of the default chain": {str(count): self.chain_ratios(count) for count in self._session_counts()},
            "ratios": {str(count): self.ratios(count) for count in self._session_counts()},
            "echo": [asdict(entry) for entry in self.echo],
            "calendar": [asdict(cost) for cost in self.calendar],
            "imports": self.imports,
        }
        path.write_text(json.dumps(value, indent=1) + "\n")

    def ratios(self, sessions: int) -> dict[str, list[float]]:
        """Our steps per second as multiples of each other server's, one ratio per round, sorted."""
        return self._ratios(sessions, "steps_per_s", OURS, (REFERENCE, FLOOR))

    def cpu_ratios(self, sessions: int) -> list[float]:
        """Our CPU time per step as a multiple of the earlier commit's, one ratio per round, sorted; empty without one."""
        return self._ratios(sessions, "server_cpu_us", OURS, (EARLIER,)).get(EARLIER, [])

    def chain_ratios(self, sessions: int) -> dict[str, list[float]]:
        """What is left of the steps per second, and what becomes of the CPU time, with the default chain; per round, sorted."""
        figures = {"steps/s": "steps_per_s", "server CPU per step": "server_cpu_us"}
        found = {name: self._ratios(sessions, figure, CHAIN, (BARE,)).get(BARE, []) for name, figure in figures.items()}
        return {name: ratios for name, ratios in found.items() if ratios}

    def _ratios(self, sessions: int, figure: str, of: str, others: Sequence[str]) -> dict[str, list[float]]:
        seen: dict[str, dict[int, float]] = {}
        for entry in self.echo:
            if entry.sessions == sessions:
                seen.setdefault(entry.server, {})[entry.number] = getattr(entry, figure)
        ours = seen.get(of, {})
        known = (name for name in others if name in seen and ours)
        return {name: sorted(ours[number] / value for number, value in seen[name].items()) for name in known}

    def _session_counts(self) -> list[int]:
        return sorted({entry.sessions for entry in self.echo})

    def _echo_table(self, sessions: int) -> str:
        title = f"echo, {sessions} session{'s' if sessions > 1 else ''}"
        lines = [f"{title:28}{'steps/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'server CPU µs/step':>21}{'load CPU':>10}"]
        for name in (FLOOR, BARE, OURS, CHAIN, EARLIER, REFERENCE):
            entries = [entry for entry in self.echo if entry.sessions == sessions and entry.server == name]
            if not entries:
                continue
            load = _median(entry.load_cpu for entry in entries)
            lines.append(
                f"  {name:26}{_median(entry.steps_per_s for entry in entries):10,.0f}"
                f"{_median(entry.p50_ms for entry in entries):10.2f}{_median(entry.p99_ms for entry in entries):10.2f}"
                f"{_median(entry.server_cpu_us for entry in entries):21.1f}{load:10.0%}{' *' if load > _LOAD_BOUND else ''}"
            )
        for name, ratios in self.ratios(sessions).items():
            spread = f"(rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
            lines.append(f"  steps/s, {OURS} / {name}: {statistics.median(ratios):.2f} {spread}")
        for figure, ratios in self.chain_ratios(sessions).items():
            spread = f"(rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
            lines.append(f"  {figure}, {CHAIN} / {BARE}: {statistics.median(ratios):.2f} {spread}")
        if costs := self.cpu_ratios(sessions):
            spread = f"(rounds {costs[0]:.2f} to {costs[-1]:.2f})"
            lines.append(f"  server CPU per step, {OURS} / {EARLIER}: {statistics.median(costs):.2f} {spread}")
        return "\n".join(lines)

    def _calendar_table(self) -> str:
        lines = [f"{'calendar, 1 session':28}{'p50 ms':>10}{'p99 ms':>10}{'server CPU ms, median':>24}"]
        for operation in dict.fromkeys(cost.operation for cost in self.calendar):
            costs = [cost for cost in self.calendar if cost.operation == operation]
            latencies = sorted(cost.latency_ms for cost in costs)
            lines.append(
                f"  {operation:26}{statistics.median(latencies):10.2f}{latencies[len(latencies) * 99 // 100]:10.2f}"
                f"{_median(cost.cpu_ms for cost in costs):24.2f}"
            )
        return "\n".join(lines)


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)
