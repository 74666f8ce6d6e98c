"""Rubrics made of rubrics."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, overload

from openenv.core.rubrics.base import ReadyScore, Rubric, Steps, all_of, loop_runs, nothing, run, waits

__all__ = ["Gate", "RubricDict", "RubricList", "Sequential", "WeightedSum"]

WEIGHT_TOLERANCE = 1e-6


class _Sequence(Rubric):
    """Rubrics by position, as the children ``rubric_0``, ``rubric_1`` …"""

    _rubric_list: list[Rubric]

    def _take(self, rubrics: Iterable[Rubric]) -> None:
        self._rubric_list = []
        for rubric in rubrics:
            self._add(rubric)

    def _add(self, rubric: Rubric) -> None:
        setattr(self, f"rubric_{len(self._rubric_list)}", rubric)
        self._rubric_list.append(rubric)

    def __len__(self) -> int:
        return len(self._rubric_list)

    @overload
    def __getitem__(self, index: int) -> Rubric: ...
    @overload
    def __getitem__(self, index: slice) -> list[Rubric]: ...
    def __getitem__(self, index: int | slice) -> Rubric | list[Rubric]:
        return self._rubric_list[index]


class Sequential(_Sequence):
    """One rubric after the other, until one scores 0.0; then 0.0, else the last one's score. Without any: 1.0.

    Within a running event loop the score may be used as it is or awaited, whichever the caller does. A coroutine, which
    has to be awaited, it is only where a rubric or a hook of it is asynchronous, or where the score is no number.
    """

    def __init__(self, *rubrics: Rubric) -> None:
        super().__init__()
        self._take(rubrics)

    def forward(self, action: Any, observation: Any) -> float:
        """The score, without this rubric's own hooks; an awaitable where a rubric is asynchronous."""
        score: float = run(self._steps(action, observation))
        return score

    def _steps(self, action: Any, observation: Any) -> Steps:
        in_loop = loop_runs()
        if in_loop and self._hooks_wait():
            yield nothing()
        score: Any = 1.0
        for rubric in self._rubric_list:
            score = rubric(action, observation)
            if waits(score):
                score = yield score
            if score == 0.0:
                score = 0.0
                break
        if not in_loop:
            return score
        if isinstance(score, Real):
            return ReadyScore(score)
        yield nothing()
        return score

    def _hooks_wait(self) -> bool:
        return any(inspect.iscoroutinefunction(hook) for hook in (*self._forward_pre_hooks, *self._forward_hooks))


class Gate(Rubric):
    """A rubric's score where it reaches the threshold, else 0.0."""

    rubric: Rubric
    threshold: float

    def __init__(self, rubric: Rubric, threshold: float = 1.0) -> None:
        super().__init__()
        self.rubric = rubric
        self.threshold = threshold

    def forward(self, action: Any, observation: Any) -> float:
        """The score, without this rubric's own hooks; an awaitable where the rubric is asynchronous."""
        score: float = run(self._steps(action, observation))
        return score

    def _steps(self, action: Any, observation: Any) -> Steps:
        score: Any = self.rubric(action, observation)
        if waits(score):
            score = yield score
        if score < self.threshold:
            return ReadyScore(0.0) if isinstance(score, ReadyScore) else 0.0
        return score


class WeightedSum(_Sequence):
    """The sum of scores times weights. Asynchronous rubrics run at the same time."""

    _weights: list[float]

    def __init__(self, rubrics: Sequence[Rubric], weights: Sequence[float]) -> None:
        """Raises `ValueError` unless there is a weight for each rubric and the weights' sum is 1."""
        super().__init__()
        if len(rubrics) != len(weights):
            raise ValueError(f"A weight for each rubric is needed: got {len(rubrics)} rubrics and {len(weights)} weights")
        total = sum(weights)
        if not math.isclose(total, 1.0, rel_tol=0.0, abs_tol=WEIGHT_TOLERANCE):
            raise ValueError(f"The weights must sum to 1.0, and {list(weights)} sum to {total}")
        self._take(rubrics)
        self._weights = list(weights)

    @property
    def weights(self) -> list[float]:
        """A copy of the weights."""
        return list(self._weights)

    def forward(self, action: Any, observation: Any) -> float:
        """The score, without this rubric's own hooks; an awaitable where a rubric is asynchronous."""
        score: float = run(self._steps(action, observation))
        return score

    def _steps(self, action: Any, observation: Any) -> Steps:
        scores: list[Any] = [rubric(action, observation) for rubric in self._rubric_list]
        waiting = [score for score in scores if waits(score)]
        if waiting:
            done = iter((yield all_of(waiting)))
            scores = [next(done) if waits(score) else score for score in scores]
        total = sum((weight * score for weight, score in zip(self._weights, scores, strict=True)), 0.0)
        return ReadyScore(total) if any(isinstance(score, ReadyScore) for score in scores) else total


class RubricList(_Sequence):
    """Rubrics by position, for a rubric that decides itself which to use and how."""

    def __init__(self, rubrics: Iterable[Rubric] | None = None) -> None:
        super().__init__()
        self._take(rubrics or ())

    def forward(self, action: Any, observation: Any) -> float:
        """Raises `NotImplementedError`: a list has no score."""
        raise _no_score(self)

    def append(self, rubric: Rubric) -> None:
        """Add a rubric at the end."""
        self._add(rubric)

    def extend(self, rubrics: Iterable[Rubric]) -> None:
        """Add rubrics at the end."""
        for rubric in list(rubrics):
            self._add(rubric)

    def __iter__(self) -> Iterator[Rubric]:
        return iter(self._rubric_list)


class RubricDict(Rubric):
    """Rubrics by name, for a rubric that decides itself which to use and how."""

    _rubric_dict: dict[str, Rubric]

    def __init__(self, rubrics: Mapping[str, Rubric] | None = None) -> None:
        super().__init__()
        self._rubric_dict = {}
        self.update(rubrics or {})

    def forward(self, action: Any, observation: Any) -> float:
        """Raises `NotImplementedError`: a dictionary has no score."""
        raise _no_score(self)

    def __setitem__(self, key: str, rubric: Rubric) -> None:
        if not isinstance(key, str):
            raise TypeError(f"A rubric's key must be a string, not {type(key).__name__} ({key!r})")
        if key in self._rubric_dict or not hasattr(self, key):
            setattr(self, key, rubric)
        if isinstance(rubric, Rubric):  # a key like "items" must not hide the method of that name
            self._rubric_children[key] = rubric
        self._rubric_dict[key] = rubric

    def __getitem__(self, key: str) -> Rubric:
        return self._rubric_dict[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rubric_dict

    def __len__(self) -> int:
        return len(self._rubric_dict)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rubric_dict)

    def keys(self) -> Iterator[str]:
        """The names."""
        return iter(self._rubric_dict.keys())

    def values(self) -> Iterator[Rubric]:
        """The rubrics."""
        return iter(self._rubric_dict.values())

    def items(self) -> Iterator[tuple[str, Rubric]]:
        """Names and rubrics."""
        return iter(self._rubric_dict.items())

    def update(self, rubrics: Mapping[str, Rubric]) -> None:
        """Add rubrics, or put them in the place of those with the same names."""
        for key, rubric in rubrics.items():
            self[key] = rubric


def _no_score(rubric: Rubric) -> NotImplementedError:
    name = type(rubric).__name__
    return NotImplementedError(
        f"{name} holds rubrics and has no score of its own: make it an attribute of a rubric whose forward() uses its members"
    )
