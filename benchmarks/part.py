"""What a part of the benchmarks is given, and what it has to offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from benchmarks.gates import Gate
from benchmarks.load.process import Load
from benchmarks.servers.fleet import Fleet
from benchmarks.tables import Table
from tests.support.processes import Servers, running

__all__ = ["Part", "Run", "folder_of_servers"]


@dataclass(frozen=True)
class Run:
    """One run of the benchmarks."""

    load: Load
    fleet: Fleet
    """Servers that the parts share."""
    rounds: int
    seconds: float
    """Of one measurement."""
    full: bool = False
    """The whole matrix."""
    against: str | None = None
    """A commit to compare with."""
    progress: Callable[[str], None] = lambda text: None

    @staticmethod
    def servers() -> AbstractContextManager[Servers]:
        """Servers of one's own, which end with the block."""
        return folder_of_servers()


@contextmanager
def folder_of_servers() -> Iterator[Servers]:
    """Servers that keep what they write in a folder which is removed at the end."""
    with TemporaryDirectory(prefix="openenv-bench-") as folder, running(Path(folder)) as servers:
        yield servers


class Part(Protocol):
    """A module of this package: what it measures, and what is made of that."""

    @property
    def RECORDS(self) -> tuple[type[Any], ...]:
        """The dataclasses of its measurements."""
        ...

    def measure(self, run: Run) -> Iterator[Any]:
        """Measure: yield records."""
        ...

    def tables(self, records: Sequence[Any]) -> list[Table]:
        """What is shown of the measurements."""
        ...

    def gates(self, records: Sequence[Any]) -> list[Gate]:
        """What must hold."""
        ...
