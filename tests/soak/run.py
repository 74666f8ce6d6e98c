"""The run: clients, two samples of the server, and what they must not differ in."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from urllib.request import Request, urlopen

from tests.fuzz.watch import crashes
from tests.soak.app import TOKEN
from tests.soak.client import REFUSED, Client, Unlike, Way
from tests.soak.ways import APART, WAYS
from tests.support.processes import Server
from tests.support.usage import children, connections, open_files, resident_kb, threads

__all__ = ["APP", "APP_APART", "Report", "Sample", "soak"]

APP = "tests.soak.app:app"
APP_APART = "tests.soak.app:apart"
TOLERANCE = 0.05
PATIENCE_S = 60.0
LOOKS = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """What a server has in use when no session is open."""

    sessions: int
    """Opened so far."""
    memory_kb: int
    """Of the server, not of its worker processes, which are replaced."""
    tasks: int
    threads: int
    files: int
    processes: int
    """Worker processes that are ready."""


@dataclass(slots=True)
class Report:
    """What came of a soak."""

    seed: int
    ways: Mapping[str, tuple[float, Way]]
    outcomes: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def opened(self) -> int:
        """Sessions that there were."""
        return sum(number for outcome, number in self.outcomes.items() if not outcome.endswith(f": {REFUSED}"))

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.opened} sessions in {self.seconds:.0f} s, {self.opened / max(self.seconds, 1):.0f} a second"
        ]
        lines += [f"  {number:7d} {outcome}" for outcome, number in sorted(self.outcomes.items())]
        lines.append(f"{'sessions':>10} {'memory KiB':>11} {'tasks':>6} {'threads':>8} {'files':>6} {'processes':>10}")
        lines += [
            f"{s.sessions:10d} {s.memory_kb:11d} {s.tasks:6d} {s.threads:8d} {s.files:6d} {s.processes:10d}" for s in self.samples
        ]
        lines += [f"WRONG: {one}" for one in self.wrong] or ["nothing has grown"]
        return "\n".join(lines)


async def soak(
    server: Server,
    *,
    sessions: int,
    seconds: float,
    settled: int | None = None,
    seed: int = 1,
    parallel: int = 64,
    apart: bool = False,
) -> Report:
    """Open and close so many sessions, and compare what the server has in use at the end with what it had once it had settled.

    Args:
        server: One of `APP`, or of `APP_APART`.
        sessions: How many.
        settled: After so many it has; by default after a quarter.
        seconds: Stop when so much time is over, even if there were fewer.
        seed: What each client does is made of it; how the server's answers interleave is not.
        parallel: Clients at once.
        apart: Whether its worlds are in worker processes, which may die.
    """
    report = Report(seed, APART if apart else WAYS)
    began = time.monotonic()
    await _each_way(server, report)
    for wanted in (sessions // 4 if settled is None else settled, sessions):
        await _live(server, report, wanted, began + seconds, parallel)
        report.seconds = time.monotonic() - began
        report.samples.append(await asyncio.to_thread(_sample, server, report))
        if report.wrong:
            return report
    if report.opened < sessions:
        report.wrong.append(f"only {report.opened} sessions in {seconds:.0f} s")
    report.wrong += _grown(*report.samples)
    report.wrong += [one for one in crashes(server.log()) if "was told to fail" not in one]
    return report


async def _each_way(server: Server, report: Report) -> None:
    """Every way once, alone: what a server makes when it is first needed is there in both samples."""
    client = Client(server.port, Random(f"{report.seed}"), "127.0.0.1")
    for name in report.ways:
        await _go(name, client, report)


async def _go(name: str, client: Client, report: Report) -> bool:
    """One way; whether it went as it should."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            outcome = await report.ways[name][1](client)
    except (Unlike, EOFError, ValueError, KeyError, OSError) as error:
        report.wrong.append(f"{name}: {type(error).__name__}: {error}")
        client.leave()
        return False
    report.outcomes[f"{name}: {outcome}"] += 1
    return True


async def _live(server: Server, report: Report, wanted: int, deadline: float, parallel: int) -> None:
    """Clients come and go until there were so many sessions."""
    names = list(report.ways)
    weights = [report.ways[name][0] for name in names]
    begun = report.outcomes.total()

    async def worker(number: int) -> None:
        rng = Random(f"{report.seed}/{begun}/{number}")
        client = Client(server.port, rng, f"127.0.0.{2 + number % 8}")
        while report.opened < wanted and time.monotonic() < deadline and len(report.wrong) < 5:
            if not await _go(rng.choices(names, weights)[0], client, report):
                return

    await asyncio.gather(*(worker(number) for number in range(parallel)))


def _sample(server: Server, report: Report) -> Sample:
    """What is in use once everybody is gone: the least of some looks, for what has leaked is there in all of them.

    Where there are more files than there were, it looks on: the server may hear from its keepalive only that a client is gone.
    """
    deadline = time.monotonic() + PATIENCE_S
    while _active(server) or connections(server.port):
        if time.monotonic() > deadline:
            report.wrong.append(f"{_active(server)} sessions and {connections(server.port)} connections are left")
            break
        time.sleep(0.2)
    looks: list[tuple[int, int, int, int, int]] = []
    until = time.monotonic() + PATIENCE_S
    while True:
        time.sleep(0.5)
        looks.append(_look(server))
        sample = Sample(report.opened, *map(min, zip(*looks, strict=True)))
        more = bool(report.samples) and sample.files > report.samples[0].files
        if len(looks) >= LOOKS and not (more and time.monotonic() < until):
            return sample


def _grown(first: Sample, last: Sample) -> list[str]:
    """What there is more of than there was."""
    told = []
    for name in ("memory_kb", "tasks", "threads", "files", "processes"):
        before, after = getattr(first, name), getattr(last, name)
        if after > before * (1 + TOLERANCE):
            told.append(f"{name}: {before} after {first.sessions} sessions, {after} after {last.sessions}")
    return told


def _look(server: Server) -> tuple[int, int, int, int, int]:
    """As a `Sample` has them."""
    tasks = json.loads(_get(server, "/debug/tasks"))["tasks"]
    pid = server.pid
    return resident_kb(pid), tasks, threads(pid), open_files(pid), len(children(pid))


def _active(server: Server) -> int:
    text = _get(server, "/metrics").decode()
    line = next(line for line in text.splitlines() if line.startswith("openenv_active_sessions{"))
    return int(float(line.split()[-1]))


def _get(server: Server, path: str) -> bytes:
    asked = Request(f"{server.url}{path}", headers={"Authorization": f"Bearer {TOKEN}", "Connection": "close"})
    with urlopen(asked, timeout=PATIENCE_S) as response:
        body: bytes = response.read()
    return body
