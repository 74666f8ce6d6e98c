"""Deciding a finished run again, from its files: the same verdicts, or those of other verifiers and another reward."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic_core import to_jsonable_python

from openenv.errors import ConfigurationError
from openenv.evaluation.episode_reward import EpisodeReward, load_reward
from openenv.evaluation.results import ResultsWriter, RunResults, TrialResult, json_safe, read_results
from openenv.evaluation.runner import STATES_FOLDER
from openenv.evaluation.scoring import apply_grade
from openenv.evaluation.states import StateStore
from openenv.evaluation.suite import settled, suite_digest
from openenv.operation import Episode, Event
from openenv.scenario import Scenario, Suite
from openenv.verifiers import Evidence, grade

__all__ = ["Rescored", "rescore"]


@dataclass(frozen=True, slots=True)
class Rescored:
    """What came of scoring a run again."""

    run: RunResults
    path: Path
    """The file with the new scores, beside the old one."""
    changed: list[TrialResult]
    """The trials, as they are now, whose pass or reward changed."""


def rescore(path: Path, *, suite: Suite | None = None, reward: str | None = None) -> Rescored:
    """Decide every trial of a results file again and write ``<name>.rescored.jsonl`` beside it.

    Nothing but the file and its ``states/`` is needed. ``suite`` brings other verifiers, allowed and ignored changes;
    ``reward`` (``module:function``) another reward. Without both the scores are those of the run.

    Raises `ConfigurationError` when a file is damaged or the suite does not fit the run.
    """
    old = read_results(path)
    function = load_reward(reward) if reward else None
    scenarios = {scenario.id: scenario for scenario in (suite or old.header.suite).scenarios}
    if suite is not None:
        _check_fits(old, scenarios)
    states = StateStore(path.parent / STATES_FOLDER)
    trials = [_decide(trial, scenarios[trial.scenario], states, function) for trial in old.trials]
    header = old.header.model_copy(
        update={
            "suite": settled(suite or old.header.suite),
            "suite_digest": suite_digest(suite or old.header.suite),
            "rescored": {
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "suite_digest": old.header.suite_digest,
                "reward": reward,
            },
        }
    )
    target = path.with_name(f"{path.stem}.rescored.jsonl")
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    with ResultsWriter(draft, header) as writer:
        for trial in trials:
            writer.add(trial)
    draft.replace(target)
    changed = [
        new
        for before, new in zip(old.trials, trials, strict=True)
        if (before.status, before.passed, before.reward) != (new.status, new.passed, new.reward)
    ]
    return Rescored(RunResults(header, trials), target, changed)


def _decide(trial: TrialResult, scenario: Scenario, states: StateStore, reward: EpisodeReward | None) -> TrialResult:
    if not trial.verdicts:
        # It was never graded: there is no evidence to decide on.
        return trial
    evidence = Evidence(
        episode=Episode(
            id=trial.episode.get("id"),
            seed=trial.episode.get("seed"),
            events=[Event(**event) for event in trial.events],
            response=trial.response,
        ),
        initial=states.get(trial.initial) if trial.initial else None,
        final=states.get(trial.final) if trial.final else None,
    )
    graded = grade(evidence, scenario.verifiers, scenario.allowed_changes, scenario.ignored_changes)
    made = trial.model_copy(deep=True)
    apply_grade(
        made,
        passed=graded.passed,
        reward=reward(evidence, graded) if reward else graded.reward,
        verdicts=json_safe(to_jsonable_python([asdict(verdict) for verdict in graded.verdicts])),
    )
    return made


def _check_fits(run: RunResults, scenarios: dict[str, Scenario]) -> None:
    """What was recorded began from the old suite's seed and setup: another beginning would be another run."""
    old = {scenario.id: scenario for scenario in run.header.suite.scenarios}
    for name in run.header.scenarios:
        if name not in scenarios:
            raise ConfigurationError(f"The suite has no scenario {name!r}, which the run has", field="suite")
        for field in ("seed", "setup", "context"):
            if getattr(scenarios[name], field) != getattr(old[name], field):
                raise ConfigurationError(
                    f"Scenario {name!r} has another {field} than when it was run",
                    field=field,
                    hint="Only verifiers, allowed and ignored changes can be exchanged afterwards; else run it again.",
                )
