"""The part of the HTML report that shows each trial with its calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openenv.evaluation.failures import Judge
from openenv.evaluation.report.markup import Markup, element, join, shortened
from openenv.evaluation.results import RunResults, TrialResult

__all__ = ["trial_section"]

MOST_TRIALS = 1000
LONGEST_VALUE = 4000


def trial_section(run: RunResults) -> Markup:
    """Every trial, those that did not pass first, each to be opened for its task, calls and verdicts."""
    judge = Judge(run)
    tasks = {scenario.id: scenario.task for scenario in run.header.suite.scenarios}
    place = {name: index for index, name in enumerate([*run.header.agents, *run.header.scenarios])}
    ordered = sorted(
        run.trials, key=lambda one: (one.passed is True, place.get(one.agent, 0), place.get(one.scenario, 0), one.trial)
    )
    left_out = len(ordered) - MOST_TRIALS
    return join(
        element("h2", "Trials"),
        *(_trial(trial, tasks.get(trial.scenario, ""), judge) for trial in ordered[:MOST_TRIALS]),
        element("p", f"{left_out} more are in the results file.", class_="muted") if left_out > 0 else None,
    )


def _trial(trial: TrialResult, task: str, judge: Judge) -> Markup:
    look, word = _outcome(trial)
    tags = [trial.difficulty, trial.phrasing, f"trial {trial.trial + 1}", f"{trial.steps} steps"]
    if trial.stop not in ("answered", "error", "cancelled"):
        tags.append(trial.stop.replace("_", " "))
    if trial.counts and not trial.passed:
        tags.append(judge.trial(trial).replace("_", " "))
    return element(
        "details",
        element(
            "summary",
            element("span", word, class_=look),
            f" {trial.agent}: {trial.scenario}",
            *(element("span", tag, class_="tag") for tag in tags if tag),
        ),
        element(
            "div",
            element("p", task),
            _error("What went wrong", trial.error),
            *(_verdict(verdict) for verdict in trial.verdicts),
            _calls(trial.events),
            *(_malformed(call) for call in trial.malformed),
            join(element("p", "Last words", class_="muted"), element("pre", shortened(trial.response, LONGEST_VALUE)))
            if trial.response is not None
            else None,
        ),
    )


def _outcome(trial: TrialResult) -> tuple[str, str]:
    if trial.counts:
        return ("good", "passed") if trial.passed else ("bad", "failed")
    return "odd", trial.status.replace("_", " ")


def _verdict(verdict: Mapping[str, Any]) -> Markup:
    passed = bool(verdict.get("passed"))
    said = f" {verdict.get('name')}: {verdict.get('message') or verdict.get('verifier_type')}"
    mark = element("span", "✓" if passed else "✗", class_="good" if passed else "bad")
    return element("p", mark, shortened(said, LONGEST_VALUE))


def _calls(events: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not events:
        return element("p", "No operation.", class_="muted")
    return join(*(_event(number, event) for number, event in enumerate(events, start=1)))


def _event(number: int, event: Mapping[str, Any]) -> Markup:
    ok = bool(event.get("success", True))
    called = f"{number}. {event.get('tool') or event.get('op')}"
    return element(
        "details",
        element("summary", called, element("span", "ok" if ok else _code(event), class_=f"tag {'good' if ok else 'bad'}")),
        element(
            "div",
            element("pre", _json(event.get("arguments"))),
            element("pre", _json(event.get("value") if ok else event.get("error"))),
        ),
    )


def _malformed(call: Mapping[str, Any]) -> Markup:
    return element(
        "details",
        element("summary", f"{call.get('tool')}", element("span", "INVALID_JSON (never sent)", class_="tag bad")),
        element("div", element("pre", str(call.get("arguments"))), element("p", str(call.get("message")))),
    )


def _error(title: str, error: Mapping[str, Any] | None) -> Markup | None:
    if error is None:
        return None
    return join(element("p", title, class_="muted"), element("pre", _json(error)))


def _code(event: Mapping[str, Any]) -> str:
    return str((event.get("error") or {}).get("code") or "failed")


def _json(value: Any) -> str:
    return shortened(json.dumps(value, indent=1, ensure_ascii=False, default=str), LONGEST_VALUE)
