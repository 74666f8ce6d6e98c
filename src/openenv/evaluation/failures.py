"""Why trials and calls failed, computed from what happened: wrong tool, wrong arguments, wrong order, other.

A failed trial is compared with its scenario's solution. *Needed* are the solution's calls that change something; where
the solution only reads, all of them. *Attempted* are the trial's calls of the same kind, whether they succeeded or not.
The first rule that holds decides:

1. the time limit ended the trial, or the agent raised: **other**;
2. a tool that does not exist was called, or a needed tool never: **wrong tool**;
3. a needed call was never made with its arguments (nulls aside), or only where the arguments were malformed: **wrong arguments**;
4. every needed call was made, but not in the solution's order: **wrong order**;
5. else **other**: refused access, changes beyond the task, a wrong answer, the step limit.

A failed call is sorted by its error and, where that does not say, by the solution too: an unknown tool, or a changing one
that the solution does not use, is **wrong tool**; refused authentication, a timeout or a crash is **other**; malformed
arguments, or others than the solution's, are **wrong arguments**; a call of the solution that failed before an earlier one of
its calls had succeeded is **wrong order**; else **other**.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from openenv.evaluation.results import RunResults, TrialResult
from openenv.scenario import Scenario

__all__ = ["CATEGORIES", "Category", "Judge"]

Category = Literal["wrong_tool", "wrong_arguments", "wrong_order", "other"]
CATEGORIES: tuple[Category, ...] = ("wrong_tool", "wrong_arguments", "wrong_order", "other")

_MACHINERY = frozenset(
    {
        "DEADLINE_EXCEEDED",
        "EPISODE_OVER",
        "EXECUTION_ERROR",
        "LANE_LOST",
        "TOOL_SERVER_FAILED",
        "UNAUTHENTICATED",
        "WORKER_CRASHED",
        "WORKER_MEMORY",
        "WORKER_TIMEOUT",
    }
)
_MALFORMED = frozenset({"INVALID_ARGUMENTS", "VALIDATION_ERROR", "INVALID_JSON"})


@dataclass(frozen=True, slots=True)
class _Call:
    """A call with everything by which calls are compared."""

    tool: str
    arguments: Mapping[str, Any]
    code: str | None = None
    """The error's code; ``None`` when the call succeeded."""

    def same(self, other: _Call) -> bool:
        """Whether both call the same tool with the same arguments; an argument that is null is none."""
        return self.tool == other.tool and _without_nulls(self.arguments) == _without_nulls(other.arguments)


class Judge:
    """Sorts the failures of a run. It learns from the run which tools are read-only."""

    def __init__(self, run: RunResults) -> None:
        self._scenarios = {scenario.id: scenario for scenario in run.header.suite.scenarios}
        self._read_only: set[str] = set(run.header.server.get("read_only_tools") or ())
        for trial in run.trials:
            self._read_only.update(str(event.get("tool")) for event in trial.events if event.get("read_only"))

    def trial(self, trial: TrialResult) -> Category:
        """Why this trial failed."""
        if trial.stop == "time_limit" or trial.status == "agent_error":
            return "other"
        scenario = self._scenarios.get(trial.scenario)
        if scenario is None:
            return "other"
        calls = _calls(trial)
        needed = self.needed(scenario)
        changing = any(call.tool not in self._read_only for call in needed)
        attempted = [call for call in calls if not changing or call.tool not in self._read_only]
        tried = {call.tool for call in attempted}
        if any(call.code == "TOOL_NOT_FOUND" for call in calls) or any(call.tool not in tried for call in needed):
            return "wrong_tool"
        places = _places(needed, attempted)
        if None in places:
            return "wrong_arguments"
        if places != sorted(place for place in places if place is not None):
            return "wrong_order"
        return "other"

    def failed_calls(self, trial: TrialResult) -> Counter[Category]:
        """How many of the trial's failed calls fall in each category."""
        scenario = self._scenarios.get(trial.scenario)
        solution = [_Call(call.tool, call.arguments) for call in scenario.solution] if scenario else []
        found: Counter[Category] = Counter()
        done: list[_Call] = []
        for call in _calls(trial):
            if call.code is None:
                done.append(call)
            else:
                found[self._call(call, solution, done)] += 1
        return found

    def needed(self, scenario: Scenario) -> list[_Call]:
        """The solution's calls that change something; all of them where it only reads."""
        calls = [_Call(call.tool, call.arguments) for call in scenario.solution]
        return [call for call in calls if call.tool not in self._read_only] or calls

    def _call(self, call: _Call, solution: Sequence[_Call], done: Sequence[_Call]) -> Category:
        if call.code == "TOOL_NOT_FOUND":
            return "wrong_tool"
        if call.code in _MACHINERY:
            return "other"
        if call.code in _MALFORMED:
            return "wrong_arguments"
        if call.tool not in self._read_only and all(call.tool != one.tool for one in solution):
            return "wrong_tool"
        index = next((place for place, one in enumerate(solution) if one.same(call)), None)
        if index is None:
            return "wrong_arguments"
        earlier = [one for one in solution[:index] if one.tool not in self._read_only]
        return "other" if all(any(one.same(made) for made in done) for one in earlier) else "wrong_order"


def _calls(trial: TrialResult) -> list[_Call]:
    made = [_Call(str(event["tool"]), event.get("arguments") or {}, _code(event)) for event in trial.events if event.get("tool")]
    return made + [_Call(str(call.get("tool")), {}, "INVALID_JSON") for call in trial.malformed]


def _code(event: Mapping[str, Any]) -> str | None:
    if event.get("success", True):
        return None
    return str((event.get("error") or {}).get("code") or "UNKNOWN")


def _places(needed: Sequence[_Call], attempted: Sequence[_Call]) -> list[int | None]:
    """Where each needed call was made: every attempt serves one call, those that succeeded are taken first."""
    taken: set[int] = set()
    places: list[int | None] = []
    for call in needed:
        fitting = [
            place
            for place, attempt in enumerate(attempted)
            if place not in taken and attempt.code not in _MALFORMED and attempt.same(call)
        ]
        fitting.sort(key=lambda place: (attempted[place].code is not None, place))
        if fitting:
            taken.add(fitting[0])
        places.append(fitting[0] if fitting else None)
    return places


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def tally(categories: Iterable[Category]) -> dict[str, int]:
    """Counts of all four categories, those that did not occur included."""
    counted = Counter(categories)
    return {category: counted[category] for category in CATEGORIES}
