"""What the kernel knows of a process: the CPU time that it used, the time that it waited for a core, its memory, its threads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Usage", "cpu_seconds", "resident_kb", "run_time_ns", "threads", "usage"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


class Usage(NamedTuple):
    """Seconds that the threads of some processes ran, and that they were ready to run but had no core."""

    ran_s: float
    waited_s: float


def usage(pids: Iterable[int]) -> Usage:
    """What the threads that live now have used, to the nanosecond; a thread that ended takes its share with it."""
    ran = waited = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                fields = (task / "schedstat").read_text().split()
            except FileNotFoundError:  # it ended meanwhile
                continue
            ran += int(fields[0])
            waited += int(fields[1])
    return Usage(ran / 1e9, waited / 1e9)


def run_time_ns(pid: int) -> int:
    """The time that the threads of a process have run, in nanoseconds: finer than the clock ticks of /proc/PID/stat."""
    return round(usage([pid]).ran_s * 1e9)


def cpu_seconds(pid: int) -> float:
    """User and system time that a process and all threads it ever had have used, in seconds, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def resident_kb(pids: Iterable[int]) -> float:
    """Resident memory in KB of 1024 bytes."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * _PAGE_KB


def threads(pids: Iterable[int]) -> int:
    """How many threads there are."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
