"""The report on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openenv.evaluation.failures import CATEGORIES
from openenv.evaluation.report.markup import percent, printable
from openenv.evaluation.report.page import interval
from openenv.evaluation.results import RunResults
from openenv.evaluation.statistics import Rate
from openenv.evaluation.summary import AgentSummary, RunSummary

__all__ = ["print_summary"]

MOST_FAULTS = 8


def print_summary(run: RunResults, summary: RunSummary, console: Console) -> None:
    """Print the agents side by side, why they failed, and what failed under them."""
    number = len(run.header.scenarios)
    count = "1 scenario" if number == 1 else f"{number} scenarios"
    trials = f", {summary.trials} trials each" if summary.trials > 1 else ""
    console.print(_plain(f"{summary.suite} on {summary.environment}: {count}{trials}", "bold"))
    console.print(_overview(summary.agents))
    if any(agent.difficulties or agent.phrasings for agent in summary.agents):
        console.print(_groups(summary.agents))
    if any(agent.errors.failed_trials for agent in summary.agents):
        console.print(_errors(summary.agents))
    _print_faults(run, summary, console)


def _overview(agents: Sequence[AgentSummary]) -> Table:
    lost = any(agent.not_scored for agent in agents)
    table = _table("agent", "success", "95 %", "mean reward", "mean steps", *(["not scored"] if lost else []))
    for agent in agents:
        table.add_row(
            _plain(agent.agent),
            _rate(agent.success),
            interval(agent.success),
            "–" if agent.mean_reward is None else f"{agent.mean_reward:.2f}",
            "–" if agent.mean_steps is None else f"{agent.mean_steps:.1f}",
            *([str(agent.not_scored)] if lost else []),
        )
    return table


def _groups(agents: Sequence[AgentSummary]) -> Table:
    """Success by difficulty and by phrasing."""
    levels = list(dict.fromkeys(level for agent in agents for level in agent.difficulties))
    phrasings = list(dict.fromkeys(kind for agent in agents for kind in agent.phrasings))
    table = _table("success", *levels, *phrasings)
    for agent in agents:
        shares = [agent.difficulties.get(level) for level in levels] + [agent.phrasings.get(kind) for kind in phrasings]
        table.add_row(_plain(agent.agent), *(percent(found.value if found else None) for found in shares))
    return table


def _errors(agents: Sequence[AgentSummary]) -> Table:
    table = _table("failed because", "trials", *(category.replace("_", " ") for category in CATEGORIES))
    for agent in agents:
        errors = agent.errors
        if errors.failed_trials:
            shares = (f"{errors.trials[name]} ({percent(errors.trials[name] / errors.failed_trials)})" for name in CATEGORIES)
            table.add_row(_plain(agent.agent), str(errors.failed_trials), *shares)
    return table


def _print_faults(run: RunResults, summary: RunSummary, console: Console) -> None:
    faults = [trial for trial in run.trials if trial.status in ("environment_error", "infrastructure_error")]
    if faults:
        console.print(_plain(f"Not scored, because the machinery failed: {len(faults)} trial(s)", "yellow"))
    for trial in faults[:MOST_FAULTS]:
        error = trial.error or {}
        console.print(_plain(f"  {trial.agent}, {trial.scenario}: {error.get('code')}: {error.get('message')}"))
    if len(faults) > MOST_FAULTS:
        console.print(f"  … and {len(faults) - MOST_FAULTS} more")
    missing = summary.planned - summary.finished
    if missing > 0:
        console.print(_plain(f"Stopped early: {missing} of {summary.planned} trials are missing", "yellow"))


def _table(first: str, *columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(_plain(first), no_wrap=True, overflow="ellipsis")
    for name in columns:
        table.add_column(_plain(name), justify="right", no_wrap=True)
    return table


def _rate(found: Rate | None) -> str:
    return "–" if found is None or found.value is None else f"{percent(found.value)} ({found.passed}/{found.total})"


def _plain(text: str, style: str = "") -> Text:
    """Text that is shown as it is: no markup of rich's, nothing that steers the terminal."""
    return Text(printable(text).replace("\n", " "), style=style)
