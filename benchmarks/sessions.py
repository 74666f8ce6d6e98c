"""Very many sessions in one process: what each costs in memory and threads while it is idle, and whether all of them step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.gates import Gate, at_most
from benchmarks.load import Order
from benchmarks.load.process import LoadFailed
from benchmarks.part import Run
from benchmarks.servers.fleet import started, wanted
from benchmarks.servers.start import DEFAULT, NONE, NOT_APPLICABLE, Target
from benchmarks.spread import median
from benchmarks.tables import Table, figure

__all__ = ["IDLE", "RECORDS", "STEPPING", "Held", "gates", "measure", "tables"]

IDLE = 10_000
STEPPING = 2_000
BESIDE = 256
"""As many as openenv 0.10.0 is asked to hold beside ours."""
_WARM = 64
SOCKETS = "OpenEnv's dialect, a socket each"
CONNECTIONS = "v2, 4 connections"
REFERENCE = "openenv 0.10.0"


@dataclass(frozen=True)
class Held:
    """One server with many sessions."""

    row: str
    chain: str
    sessions: int
    number: int
    what: str
    """``idle`` or ``stepping``."""
    done: int = 0
    """Right answers: of idle sessions one step each at the end."""
    kb_each: float = 0.0
    """How much the server's resident memory grew for each idle session, in KB of 1024 bytes."""
    threads_each: float = 0.0
    per_s: float = 0.0
    p99_ms: float = 0.0
    error: str = ""


RECORDS = (Held,)


def measure(run: Run) -> Iterator[Held]:
    """Yield one record for each server that held sessions: a fresh process every time."""
    for chain in (NONE, DEFAULT):
        for row, sessions, what in ((SOCKETS, IDLE, "idle"), (CONNECTIONS, IDLE, "idle"), (SOCKETS, STEPPING, "stepping")):
            yield from _held(run, 0, sessions, what, {f"ours echo {chain}": (row, chain)})
    beside = {f"ours echo {chain}": (SOCKETS, chain) for chain in (NONE, DEFAULT)}
    beside["reference echo"] = (REFERENCE, NOT_APPLICABLE)
    for number in range(run.rounds):
        yield from _held(run, number, BESIDE, "idle", beside)


def _held(run: Run, number: int, sessions: int, what: str, rows: Mapping[str, tuple[str, str]]) -> Iterator[Held]:
    """Start these servers, and fill one after the other."""
    run.progress(f"sessions: {sessions:,} {what}")
    with run.servers() as servers:
        targets = started(servers, wanted(*rows))
        for name, (row, chain) in rows.items():
            run.progress(f"sessions: {sessions:,} {what}, {row}, {chain}")
            yield _filled(run, targets[name], Held(row, chain, sessions, number, what))


def _filled(run: Run, target: Target, asked: Held) -> Held:
    dialect, connections = ("v2-batch", 4) if asked.row == CONNECTIONS else ("openenv", 0)
    url, pids, token = target.server.url, target.pids, target.token
    kind = "hold" if asked.what == "idle" else "steps"
    try:
        run.load.carry_out(Order(url, dialect, _WARM, 0.2, pids, connections, token))
        seen = run.load.carry_out(Order(url, dialect, asked.sessions, run.seconds, pids, connections, token, kind=kind))
    except LoadFailed as failure:
        return replace(asked, error=str(failure))
    return replace(
        asked,
        done=seen.done,
        kb_each=round(seen.grown_kb / asked.sessions, 2),
        threads_each=round(seen.threads / asked.sessions, 4),
        per_s=round(seen.done / seen.seconds, 1),
        p99_ms=round(seen.p99_ms, 3),
    )


def tables(records: Sequence[Held]) -> list[Table]:
    """Idle sessions, and stepping ones."""
    idle, stepping = [], []
    for key in dict.fromkeys((one.row, one.chain, one.sessions, one.what) for one in records):
        seen = [one for one in records if (one.row, one.chain, one.sessions, one.what) == key]
        errors = "; ".join(one.error for one in seen if one.error) or "none"
        beginning = [key[0], key[1] or "–", f"{key[2]:,}"]
        if key[3] == "idle":
            memory, threads = median(one.kb_each for one in seen), median(one.threads_each for one in seen)
            idle.append([*beginning, figure(memory), figure(threads), f"{median(one.done for one in seen):,.0f}", errors])
        else:
            rate, tail = median(one.per_s for one in seen), median(one.p99_ms for one in seen)
            stepping.append([*beginning, f"{rate:,.0f}", figure(tail), errors])
    return [
        Table(
            "Idle echo sessions",
            ["", "chain", "sessions", "KB each", "threads each", "then stepped", "errors"],
            idle,
            ["Growth of the server's resident memory; the kernel's buffers are not in it."],
        ),
        Table("Stepping sessions", ["", "chain", "sessions", "steps/s", "p99 ms", "errors"], stepping),
    ]


def gates(records: Sequence[Held]) -> list[Gate]:
    """Numbers that one process holds, and the memory of an idle session."""
    found = []
    for chain in (NONE, DEFAULT):
        idle = [one for one in records if (one.row, one.chain, one.sessions) == (SOCKETS, chain, IDLE)]
        stepping = [one for one in records if (one.chain, one.what) == (chain, "stepping")]
        found.append(_all_right(f"{IDLE:,} idle sessions in one process, chain: {chain}", idle, IDLE))
        found.append(_all_right(f"{STEPPING:,} stepping sessions in one process, chain: {chain}", stepping, STEPPING))
        memory = [one.kb_each for one in idle if not one.error]
        found.append(at_most(f"memory of an idle session, chain: {chain}", 40, memory, unit=" KB"))
    return found


def _all_right(claim: str, records: Sequence[Held], least: int) -> Gate:
    """Every session has to have answered rightly, and nothing else may have happened."""
    if not records:
        return Gate(claim, "no error", "not measured", None)
    errors = [one.error for one in records if one.error]
    if errors:
        return Gate(claim, "no error", errors[0][:120], False)
    done = min(one.done for one in records)
    return Gate(claim, "no error", f"{done:,} right answers, no error", done >= least)
