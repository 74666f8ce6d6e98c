"""A run: servers, so many frames of each dialect, and the look at the servers afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fuzz.dialects import DIALECTS, conversation
from tests.fuzz.driver import Failure, Job, play, play_all
from tests.fuzz.plan import Conversation
from tests.fuzz.watch import DOORS, Watched, served

__all__ = ["Report", "again", "campaign"]

WARM_UP = 0.1
"""The part of a run after which pools are full and caches made: what a server has then, it must have at the end."""
TRIES = 40
"""How often a conversation that failed is played again, to find the frames that matter."""


@dataclass(slots=True)
class Report:
    """What came of a run."""

    seed: int
    frames: dict[str, int] = field(default_factory=dict)
    conversations: int = 0
    memory: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {number}" for name, number in self.frames.items())
        lines = [f"seed {self.seed}: {sum(self.frames.values())} frames in {self.conversations} conversations ({counts})"]
        lines += self.memory
        lines += [f"WRONG: {one}" for one in self.wrong] or ["nothing was wrong"]
        return "\n".join(lines)


async def campaign(
    folder: Path,
    *,
    seed: int,
    frames: int,
    dialects: tuple[str, ...] = tuple(DIALECTS),
    doors: tuple[str, ...] = DOORS,
    parallel: int = 48,
) -> Report:
    """Fuzz servers that are started for it, and judge them.

    Args:
        folder: Where their logs go.
        seed: Everything that is sent is made of it.
        frames: How many frames and requests, shared between the dialects.
        dialects: Names of `DIALECTS`.
        doors: Ways in; the conversations take turns.
        parallel: Conversations at once.
    """
    report = Report(seed)
    with served(folder, _targets(dialects), doors) as watched:
        ports = {(one.door, one.target): one.server.port for one in watched}
        source = _Source(report, _shared(frames, dialects), ports, doors)
        failures = await play_all(source.until(WARM_UP), parallel=parallel)
        for one in watched:
            one.settle(patience_s=1.0 if failures else 30.0)
        failures = failures or await play_all(source.until(1.0), parallel=parallel)
        for failure in failures:
            report.wrong.append(f"{failure}{await _smaller(failure) if failure is failures[0] else ''}")
        _look(report, watched)
    return report


async def again(folder: Path, job: Job, frames: tuple[int, ...] | None) -> Report:
    """Play one conversation, or some frames of it, on a server of its own."""
    report = Report(job.seed)
    target, talk = conversation(job.dialect, job.seed, job.number)
    with served(folder, (target,), (job.door,)) as watched:
        watched[0].settle()
        talk = talk if frames is None else talk.kept(frames)
        report.frames[job.dialect], report.conversations = talk.frames, 1
        failure = await play(replace(job, port=watched[0].server.port), talk)
        report.wrong += [] if failure is None else [str(failure)]
        _look(report, watched)
    return report


def _look(report: Report, watched: list[Watched]) -> None:
    for one in watched:
        report.wrong += one.complaints(patience_s=1.0 if report.wrong else 30.0)
        if one.server.process.poll() is None:
            report.memory.append(f"{one.target}, {one.door} door: {one.began_kb} KiB, at the end {one.resident_kb} KiB")


def _targets(dialects: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({target for dialect in dialects for target in DIALECTS[dialect].targets}))


def _shared(frames: int, dialects: tuple[str, ...]) -> dict[str, int]:
    total = sum(DIALECTS[dialect].share for dialect in dialects)
    return {dialect: max(1, round(frames * DIALECTS[dialect].share / total)) for dialect in dialects}


class _Source:
    """Conversations of every dialect, in step with their shares. The report counts them."""

    def __init__(self, report: Report, wanted: dict[str, int], ports: dict[tuple[str, str], int], doors: tuple[str, ...]) -> None:
        self._report = report
        self._wanted = wanted
        self._ports = ports
        self._doors = doors
        self._numbers = dict.fromkeys(wanted, 0)
        report.frames = dict.fromkeys(wanted, 0)

    def until(self, part: float) -> Iterator[tuple[Job, Conversation]]:
        """More of them, until every dialect has had this part of what it wants."""
        report, wanted = self._report, self._wanted
        while True:
            dialect = min(wanted, key=lambda one: report.frames[one] / wanted[one])
            if report.frames[dialect] >= wanted[dialect] * part:
                return
            number = self._numbers[dialect]
            self._numbers[dialect] += 1
            target, talk = conversation(dialect, report.seed, number)
            report.frames[dialect] += talk.frames
            report.conversations += 1
            door = self._doors[number % len(self._doors)]
            yield Job(dialect, report.seed, number, door, self._ports[door, target]), talk


async def _smaller(failure: Failure) -> str:
    """The few frames with which the conversation still fails, as the end of the command that plays it again."""
    _, talk = conversation(failure.job.dialect, failure.job.seed, failure.job.number)
    frames = list(range(talk.length))
    tries = 0
    size = max(1, len(frames) // 2)
    while size and tries < TRIES:
        at = 0
        while at < len(frames) and tries < TRIES:
            fewer = frames[:at] + frames[at + size :]
            tries += 1
            if await play(failure.job, talk.kept(fewer), patience_s=10.0) is None:
                at += size
            else:
                frames = fewer
        size //= 2
    if len(frames) == talk.length:
        return ""
    return " --keep " + (",".join(map(str, frames)) or "none")
