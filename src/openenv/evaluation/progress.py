"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from openenv.evaluation.report.markup import printable
from openenv.evaluation.results import TrialResult

__all__ = ["RunProgress"]


class RunProgress:
    """Shows trials as they end. Off a terminal it prints a line at each tenth, and one for each failure of the machinery."""

    def __init__(self, total: int, console: Console) -> None:
        self._total = total
        self._console = console
        self._done = self._passed = self._lost = 0
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("evaluating"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, result: TrialResult) -> None:
        """A trial has ended."""
        self._done += 1
        self._passed += result.passed is True
        lost = not result.counts and result.status != "cancelled"
        self._lost += lost
        told = f"{self._passed} passed" + (f", {self._lost} not scored" if self._lost else "")
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=told)
        elif lost:
            what = f"{result.agent}, {result.scenario}: {result.status}: {(result.error or {}).get('message')}"
            self._console.print(printable(what), markup=False, highlight=False, soft_wrap=True)
        elif 10 * self._done // self._total > 10 * (self._done - 1) // self._total:
            self._console.print(f"{self._done} of {self._total} trials, {told}", highlight=False)
