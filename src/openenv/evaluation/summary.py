"""A run in numbers: what ``summary.json``, the terminal table and the HTML report all show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openenv.evaluation.failures import Judge, tally
from openenv.evaluation.results import COUNTED, RunResults, TrialResult
from openenv.evaluation.statistics import Rate, clustered_rate, mean_over_scenarios, rate

__all__ = ["AgentSummary", "Breakdown", "PairSummary", "RunSummary", "ScenarioSummary", "ToolSummary", "summarize"]

DIFFICULTIES = ("easy", "medium", "hard")
PHRASINGS = ("explicit", "natural")


@dataclass(frozen=True, slots=True)
class ScenarioSummary:
    """One scenario."""

    scenario: str
    difficulty: str
    pair: str | None
    phrasing: str | None
    success: Rate
    mean_reward: float | None
    not_scored: int


@dataclass(frozen=True, slots=True)
class PairSummary:
    """Two scenarios that ask for the same thing in different words."""

    pair: str
    explicit: Rate
    natural: Rate


@dataclass(frozen=True, slots=True)
class ToolSummary:
    """One tool: how its calls went, and how the scenarios went whose solution needs it."""

    tool: str
    calls: int
    succeeded: Rate
    errors: dict[str, int]
    """Failed calls by their error's code."""
    needed_by: Rate
    """Success of the trials whose scenario's solution changes something with this tool."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Failures by category, see `openenv.evaluation.failures`."""

    failed_trials: int
    trials: dict[str, int]
    failed_calls: int
    calls: dict[str, int]


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """One agent's run."""

    agent: str
    success: Rate
    mean_reward: float | None
    mean_steps: float | None
    mean_seconds: float | None
    tokens: dict[str, int]
    statuses: dict[str, int]
    not_run: int
    difficulties: dict[str, Rate]
    phrasings: dict[str, Rate]
    pairs: list[PairSummary]
    scenarios: list[ScenarioSummary]
    tools: list[ToolSummary]
    errors: Breakdown
    at_k: dict[int, dict[str, float]]
    """``pass@k`` and ``pass^k`` for each k, where scenarios were tried more than once."""

    @property
    def not_scored(self) -> int:
        """Trials that tell nothing about the agent, because something else failed."""
        return self.statuses.get("environment_error", 0) + self.statuses.get("infrastructure_error", 0)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A whole run."""

    format: int
    suite: str
    suite_digest: str
    environment: str
    server: dict[str, Any]
    openenv: str
    started_at: str
    trials: int
    seed: int
    planned: int
    finished: int
    rescored: dict[str, Any] | None
    agents: list[AgentSummary]

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``summary.json``."""
        return asdict(self)

    @property
    def not_scored(self) -> int:
        """Trials of all agents in which the machinery failed."""
        return sum(agent.not_scored for agent in self.agents)


def summarize(run: RunResults) -> RunSummary:
    """Count everything. Only trials that were scored, and agents' own errors, enter rates and means."""
    header = run.header
    judge = Judge(run)
    by_agent: dict[str, list[TrialResult]] = {name: [] for name in header.agents}
    for trial in run.trials:
        by_agent.setdefault(trial.agent, []).append(trial)
    each = len(header.scenarios) * header.trials
    return RunSummary(
        format=header.format,
        suite=header.suite.name,
        suite_digest=header.suite_digest,
        environment=header.suite.environment,
        server=header.server,
        openenv=header.openenv,
        started_at=header.started_at,
        trials=header.trials,
        seed=header.seed,
        planned=header.planned,
        finished=sum(trial.status != "cancelled" for trial in run.trials),
        rescored=header.rescored,
        agents=[_agent(name, trials, run, judge, each) for name, trials in by_agent.items()],
    )


def _agent(name: str, trials: Sequence[TrialResult], run: RunResults, judge: Judge, planned: int) -> AgentSummary:
    counted = [trial for trial in trials if trial.counts]
    outcomes = _outcomes(counted)
    most = max((len(cluster) for cluster in outcomes.values()), default=0)
    at_k = {k: found for k in range(1, most + 1) if (found := mean_over_scenarios(outcomes, k)) is not None} if most > 1 else {}
    return AgentSummary(
        agent=name,
        success=clustered_rate(outcomes.values()),
        mean_reward=_mean(trial.reward for trial in counted),
        mean_steps=_mean(trial.steps for trial in counted),
        mean_seconds=_mean(trial.seconds.get("agent") for trial in counted),
        tokens=dict(sum((Counter(trial.tokens) for trial in trials), Counter())),
        statuses=dict(Counter(trial.status for trial in trials)),
        not_run=max(0, planned - len(trials)),
        difficulties=_grouped(counted, lambda trial: trial.difficulty, DIFFICULTIES),
        phrasings=_grouped(counted, lambda trial: trial.phrasing, PHRASINGS),
        pairs=_pairs(counted),
        scenarios=_scenarios(trials, run),
        tools=_tools(counted, run, judge),
        errors=_breakdown(counted, judge),
        at_k={k: {"pass@k": any_, "pass^k": all_} for k, (any_, all_) in at_k.items()},
    )


def _outcomes(trials: Iterable[TrialResult]) -> dict[str, list[bool]]:
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for trial in trials:
        found[trial.scenario].append(bool(trial.passed))
    return dict(found)


def _rate(trials: Iterable[TrialResult]) -> Rate:
    return clustered_rate(_outcomes(trials).values())


def _grouped(trials: Sequence[TrialResult], key: Callable[[TrialResult], str | None], order: Sequence[str]) -> dict[str, Rate]:
    there = {found for trial in trials if (found := key(trial)) is not None}
    names = [name for name in order if name in there] + sorted(there.difference(order))
    return {name: _rate(trial for trial in trials if key(trial) == name) for name in names}


def _pairs(trials: Sequence[TrialResult]) -> list[PairSummary]:
    names = list(dict.fromkeys(trial.pair for trial in trials if trial.pair is not None))
    return [PairSummary(name, *(_rate(_of_pair(trials, name, phrasing)) for phrasing in PHRASINGS)) for name in names]


def _of_pair(trials: Sequence[TrialResult], pair: str, phrasing: str) -> list[TrialResult]:
    return [trial for trial in trials if trial.pair == pair and trial.phrasing == phrasing]


def _scenarios(trials: Sequence[TrialResult], run: RunResults) -> list[ScenarioSummary]:
    chosen = set(run.header.scenarios)
    made = []
    for scenario in run.header.suite.scenarios:
        if scenario.id not in chosen:
            continue
        its = [trial for trial in trials if trial.scenario == scenario.id]
        counted = [trial for trial in its if trial.counts]
        made.append(
            ScenarioSummary(
                scenario=scenario.id,
                difficulty=scenario.difficulty,
                pair=scenario.pair,
                phrasing=scenario.phrasing,
                success=rate(sum(bool(trial.passed) for trial in counted), len(counted)),
                mean_reward=_mean(trial.reward for trial in counted),
                not_scored=sum(trial.status not in COUNTED for trial in its),
            )
        )
    return made


def _tools(trials: Sequence[TrialResult], run: RunResults, judge: Judge) -> list[ToolSummary]:
    calls: Counter[str] = Counter()
    succeeded: Counter[str] = Counter()
    errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for trial in trials:
        for event in trial.events:
            tool = event.get("tool")
            if tool is None:
                continue
            calls[tool] += 1
            if event.get("success", True):
                succeeded[tool] += 1
            else:
                errors[tool][str((event.get("error") or {}).get("code") or "UNKNOWN")] += 1
        for call in trial.malformed:
            calls[call["tool"]] += 1
            errors[call["tool"]]["INVALID_JSON"] += 1
    needing = _needing(run, judge)
    names = sorted({*calls, *(tool for tools in needing.values() for tool in tools)})
    return [
        ToolSummary(
            tool=name,
            calls=calls[name],
            succeeded=rate(succeeded[name], calls[name]),
            errors=dict(errors[name].most_common()),
            needed_by=_rate(trial for trial in trials if name in needing.get(trial.scenario, ())),
        )
        for name in names
    ]


def _needing(run: RunResults, judge: Judge) -> Mapping[str, set[str]]:
    chosen = set(run.header.scenarios)
    return {
        scenario.id: {call.tool for call in judge.needed(scenario)}
        for scenario in run.header.suite.scenarios
        if scenario.id in chosen
    }


def _breakdown(trials: Sequence[TrialResult], judge: Judge) -> Breakdown:
    failed = [trial for trial in trials if not trial.passed]
    calls = tally(category for trial in trials for category in judge.failed_calls(trial).elements())
    return Breakdown(len(failed), tally(judge.trial(trial) for trial in failed), sum(calls.values()), calls)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
