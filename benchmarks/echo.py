"""The echo environment under load in every dialect: ours with and without middleware, openenv 0.10.0, and the floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.gates import Gate, at_least, at_most
from benchmarks.part import Run
from benchmarks.rounds import LOAD_BOUND, Round, Rounds, Setting, measure_rounds
from benchmarks.servers import start
from benchmarks.servers.fleet import wanted
from benchmarks.servers.start import DEFAULT, NONE, NOT_APPLICABLE
from benchmarks.spread import Spread
from benchmarks.tables import Table, shown

__all__ = ["COUNTS", "FLOOR", "OPENENV", "RECORDS", "REFERENCE", "V2_BATCH", "gates", "measure", "settings", "tables"]

RECORDS = (Round,)
COUNTS = (1, 16, 64, 256, 1000)

FLOOR = "bare ASGI echo"
OPENENV = "OpenEnv's dialect"
V2 = "v2, a frame for each step"
V2_BATCH = "v2, one frame steps all"
V2_BATCH_4 = "v2, 4 frames step all"
HTTP = "HTTP /step"
JSON_RPC = "JSON-RPC on /mcp"
MCP = "standard MCP"
THREADS = "OpenEnv's dialect, thread pool"
NOW = "openenv serve echo, now"
EARLIER = "openenv serve echo, earlier"
REFERENCE = "openenv 0.10.0"
REFERENCE_HTTP = "openenv 0.10.0, HTTP /step without a session"
REFERENCE_MCP = "openenv 0.10.0, JSON-RPC on /mcp"

_SERVE = "log, metrics"
_SHARES = {1: 0.5, 16: 0.5, 64: 1.0, 256: 1.0, 1000: 0.8}
"""What share of the window a measurement takes: less where no claim hangs on it."""


def measure(run: Run) -> Iterator[Round]:
    """Yield every measurement."""
    run.progress("echo: starting the servers")
    chosen = settings(run)
    for done, entry in enumerate(measure_rounds(run.load, chosen, run.rounds), 1):
        run.progress(f"echo {done}/{len(chosen) * run.rounds}: {entry.row}, {entry.chain}, {entry.sessions} sessions")
        yield entry


class Kind(NamedTuple):
    """One row of the tables: which server, in which dialect, at which numbers of sessions when not all are measured."""

    row: str
    chain: str
    server: str
    dialect: str
    counts: tuple[int, ...] = COUNTS
    share: float = 1.0
    connections: int = 0


def kinds() -> list[Kind]:
    """Every row, with the numbers of sessions that are measured when not all are: where no claim hangs on more, few."""
    rows = [Kind(FLOOR, NOT_APPLICABLE, "floor", "echo")]
    for chain in (NONE, DEFAULT):
        echo, tools = f"ours echo {chain}", f"ours tools {chain}"
        rows += [
            Kind(OPENENV, chain, echo, "openenv"),
            Kind(THREADS, chain, f"ours threads {chain}", "openenv", (64,), 0.6),
            Kind(V2, chain, echo, "v2", (1, 64, 256)),
            Kind(V2_BATCH, chain, echo, "v2-batch", (16, 64, 256, 1000), connections=1),
            Kind(V2_BATCH_4, chain, echo, "v2-batch", (256,), connections=4),
            Kind(HTTP, chain, echo, "http", (64,), 0.6),
            Kind(JSON_RPC, chain, tools, "json-rpc", (64,), 0.6),
            Kind(MCP, chain, tools, "mcp", (64,)),
        ]
    return [
        *rows,
        Kind(REFERENCE, NOT_APPLICABLE, "reference echo", "openenv"),
        Kind(REFERENCE_HTTP, NOT_APPLICABLE, "reference echo", "http-stateless", (64,), 0.6),
        Kind(REFERENCE_MCP, NOT_APPLICABLE, "reference tools", "json-rpc", (64,), 0.6),
    ]


def settings(run: Run) -> list[Setting]:
    """Every row of every table, with its server running."""
    rows = kinds()
    targets = run.fleet(wanted(*dict.fromkeys(kind.server for kind in rows)))
    if run.against is not None:
        chain, commit = _SERVE, run.against
        targets |= run.fleet({"now": start.echo_now, "earlier": lambda servers: start.earlier(servers, commit)})
        rows += [Kind(NOW, chain, "now", "openenv"), Kind(EARLIER, chain, "earlier", "openenv")]
    return [
        Setting(
            kind.row,
            kind.chain,
            targets[kind.server],
            kind.dialect,
            count,
            run.seconds * (1.0 if run.full else kind.share * _SHARES[count]),
            kind.connections,
        )
        for kind in rows
        for count in (COUNTS if run.full else kind.counts)
        if count >= max(kind.connections, 1)
    ]


def tables(records: Sequence[Round]) -> list[Table]:
    """One for each number of sessions, and the ratios."""
    rounds = Rounds(records)
    shown = [rounds.table(f"Echo, {count:,} session{'s' if count > 1 else ''}", count) for count in rounds.counts()]
    return [*shown, _ratios(rounds), *_earlier(rounds)]


def _ratios(rounds: Rounds) -> Table:
    reference, floor = (REFERENCE, NOT_APPLICABLE), (FLOOR, NOT_APPLICABLE)
    rows = []
    for row in (OPENENV, V2, V2_BATCH, V2_BATCH_4):
        for chain in (NONE, DEFAULT):
            for count in rounds.counts():
                key = (row, chain)
                found = [
                    rounds.ratios(key, reference, count),
                    rounds.ratios(key, reference, count, "p99_ms"),
                    rounds.ratios(key, reference, count, "cpu_us"),
                    rounds.ratios(key, floor, count),
                ]
                if all(found):
                    rows.append([row, chain, f"{count:,}", *map(shown, found)])
    columns = ["", "chain", "sessions", "steps/s ÷ 0.10.0", "p99 ÷ 0.10.0", "server CPU ÷ 0.10.0", "steps/s ÷ bare ASGI echo"]
    return Table("Echo, ratios within each round", columns, rows, ["Medians, in brackets the smallest and the largest round."])


def _earlier(rounds: Rounds) -> list[Table]:
    now, then = (NOW, _SERVE), (EARLIER, _SERVE)
    rows = [
        [f"{count:,}", shown(found), shown(rounds.ratios(now, then, count, "cpu_us"))]
        for count in rounds.counts()
        if (found := rounds.ratios(now, then, count))
    ]
    return [Table("Echo, against the earlier commit", ["sessions", "steps/s", "server CPU per step"], rows)] if rows else []


def gates(records: Sequence[Round]) -> list[Gate]:
    """The claims about the hot path. A claim's remark says where the load generator was what limited."""
    rounds = Rounds(records)
    reference, floor, bare = (REFERENCE, NOT_APPLICABLE), (FLOOR, NOT_APPLICABLE), (OPENENV, NONE)
    found = []
    for chain in (NONE, DEFAULT):
        ours, named = (OPENENV, chain), {NONE: "without middleware", DEFAULT: "with the default chain"}[chain]
        for count, times in ((64, 4), (256, 5)):
            remark = rounds.load_bound([ours], count)
            speed, tail = (rounds.ratios(ours, reference, count, what) for what in ("per_s", "p99_ms"))
            found.append(at_least(f"steps/s ÷ 0.10.0, {count} sessions, {named}", times, speed, remark=remark))
            found.append(at_most(f"p99 ÷ 0.10.0, {count} sessions, {named}", 0.25, tail, remark=remark))
    share = rounds.ratios(bare, floor, 64)
    remark = rounds.load_bound([bare, floor], 64)
    found.append(at_least("steps/s ÷ bare ASGI echo, 64 sessions, without middleware", 0.65, share, remark=remark))
    kept = rounds.ratios((OPENENV, DEFAULT), bare, 64)
    found.append(at_least("steps/s with the default chain ÷ without middleware, 64 sessions", 0.85, kept))
    for chain in (NONE, DEFAULT):
        for row in (V2_BATCH, V2_BATCH_4):
            times_faster = rounds.ratios((row, chain), reference, 256)
            found.append(at_least(f"steps/s ÷ 0.10.0, 256 sessions, {row}, chain: {chain}", 10, times_faster))
    found.append(_load(rounds))
    return found


def _load(rounds: Rounds) -> Gate:
    """The rows that claims hang on must not be limited by the load generator."""
    shares = [
        Spread.of(one.load_cpu for one in rounds.of(row, chain, count)).median
        for count in (64, 256)
        for row, chain in rounds.keys(count)
        if row in (FLOOR, OPENENV, V2, V2_BATCH, V2_BATCH_4, REFERENCE)
    ]
    worst = [max(shares)] if shares else []
    return at_most("load generator's share of a core, in the worst row at 64 or 256 sessions", LOAD_BOUND, worst)
