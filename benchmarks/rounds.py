"""Interleaved rounds of load on many servers, and the ratios between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.load import Measurement, Order
from benchmarks.load.process import Load
from benchmarks.servers.start import Target
from benchmarks.spread import median, ratios
from benchmarks.tables import Table, figure

__all__ = ["LOAD_BOUND", "Round", "Rounds", "Setting", "measure_rounds"]

LOAD_BOUND = 0.8
"""The share of a core from which on the load generator may be what limits."""


@dataclass(frozen=True)
class Setting:
    """One row of a table: a server, and how it is asked."""

    row: str
    chain: str
    target: Target
    dialect: str
    sessions: int
    seconds: float
    connections: int = 0
    kind: str = "steps"

    def order(self) -> Order:
        """What the load generator has to do."""
        return Order(
            url=self.target.server.url,
            dialect=self.dialect,
            sessions=self.sessions,
            seconds=self.seconds,
            server_pids=self.target.pids,
            connections=self.connections,
            token=self.target.token,
            kind=self.kind,
        )


@dataclass(frozen=True)
class Round:
    """One measurement of one setting."""

    row: str
    chain: str
    sessions: int
    number: int
    """Of the round."""
    per_s: float
    """Steps, or sessions that were opened, reset and closed."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Server CPU time for each, in microseconds."""
    load_cpu: float
    """The load generator's CPU time as a share of one core; near 1 it is the load that limits, not the server."""
    waited: float
    """The time that the server was ready to run and had no core, as a share of the window: what else the machine did."""

    @classmethod
    def of(cls, setting: Setting, number: int, seen: Measurement) -> Round:
        """What the load generator saw, for each step and second."""
        return cls(
            row=setting.row,
            chain=setting.chain,
            sessions=setting.sessions,
            number=number,
            per_s=round(seen.done / seen.seconds, 1),
            p50_ms=round(seen.p50_ms, 4),
            p99_ms=round(seen.p99_ms, 4),
            cpu_us=round(seen.server_cpu_s / seen.done * 1e6, 2),
            load_cpu=round(seen.load_cpu_s / seen.seconds, 3),
            waited=round(seen.server_waited_s / seen.seconds, 3),
        )


def measure_rounds(load: Load, settings: Sequence[Setting], rounds: int) -> Iterator[Round]:
    """In each round every setting once. Those with the same number of sessions are neighbours, in an order that rotates."""
    counts = sorted({setting.sessions for setting in settings})
    for number in range(rounds):
        for count in counts:
            group = [setting for setting in settings if setting.sessions == count]
            turn = number % len(group)
            for setting in group[turn:] + group[:turn]:
                yield Round.of(setting, number, load.carry_out(setting.order()))


class Rounds:
    """Many rounds, to be asked."""

    def __init__(self, rounds: Iterable[Round]) -> None:
        self.all = list(rounds)

    def of(self, row: str, chain: str, sessions: int) -> list[Round]:
        """Those of one row."""
        return [one for one in self.all if (one.row, one.chain, one.sessions) == (row, chain, sessions)]

    def keys(self, sessions: int) -> list[tuple[str, str]]:
        """The rows and chains that were measured with that many sessions, in the order in which they came."""
        return list(dict.fromkeys((one.row, one.chain) for one in self.all if one.sessions == sessions))

    def counts(self) -> list[int]:
        """The numbers of sessions."""
        return sorted({one.sessions for one in self.all})

    def ratios(self, of: tuple[str, str], to: tuple[str, str], sessions: int, figure: str = "per_s") -> list[float]:
        """One row's figure as a multiple of another's, one for each round; empty where one of them was not measured."""
        return ratios(*({one.number: getattr(one, figure) for one in self.of(*key, sessions)} for key in (of, to)))

    def load_bound(self, keys: Iterable[tuple[str, str]], sessions: int) -> str:
        """A remark where one of these rows was limited by the load generator; else nothing."""
        rows = [self.of(*key, sessions) for key in keys]
        shares = [median(one.load_cpu for one in row) for row in rows if row]
        return f"load generator at {max(shares):.0%} of a core" if shares and max(shares) > LOAD_BOUND else ""

    def table(self, title: str, sessions: int, what: str = "steps/s") -> Table:
        """The medians of every row with that many sessions."""
        rows = []
        for row, chain in self.keys(sessions):
            seen = self.of(row, chain, sessions)
            share = median(one.load_cpu for one in seen)
            rows.append(
                [
                    row,
                    chain or "–",
                    f"{median(one.per_s for one in seen):,.0f}",
                    figure(median(one.p50_ms for one in seen)),
                    figure(median(one.p99_ms for one in seen)),
                    f"{median(one.cpu_us for one in seen):,.1f}",
                    f"{share:.0%}{' *' if share > LOAD_BOUND else ''}",
                    f"{median(one.waited for one in seen):.0%}",
                ]
            )
        columns = ["", "chain", what, "p50 ms", "p99 ms", "server CPU µs each", "load CPU", "server waited"]
        return Table(title, columns, rows)
