"""Rubrics that score: every kind, without and within an event loop, with hooks of both kinds."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from openenv.core.rubrics import (
    ExponentialDiscountingTrajectoryRubric,
    Gate,
    Rubric,
    RubricDict,
    RubricList,
    Sequential,
    TrajectoryRubric,
    WeightedSum,
)

INFINITE = float("inf")
NO_NUMBER = float("nan")
CALLS: list[str] = []


class Fixed(Rubric):
    """Always the same score."""

    def __init__(self, score: Any, name: str = "r") -> None:
        super().__init__()
        self.score = score
        self.name = name

    def forward(self, action: Any, observation: Any) -> Any:
        CALLS.append(self.name)
        if isinstance(self.score, Exception):
            raise self.score
        return self.score

    def reset(self) -> None:
        CALLS.append(f"reset {self.name}")


class Slow(Fixed):
    """The same, asynchronously."""

    async def forward(self, action: Any, observation: Any) -> Any:
        await asyncio.sleep(0)
        return super().forward(action, observation)


class Passing(Rubric):
    """A rubric with a forward() of its own that uses its children."""

    def __init__(self, inner: Rubric) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, action: Any, observation: Any) -> Any:
        return self.inner(action, observation)


class Awaiting(Passing):
    """The same for a child that it awaits."""

    async def forward(self, action: Any, observation: Any) -> Any:
        return await self.inner(action, observation)


def told(value: Any) -> Any:
    """A result as JSON: its type where that matters."""
    if value is None or isinstance(value, (str, list, dict)):
        return value
    if isinstance(value, (bool, int, float)):
        kind = next(kind for kind in (bool, int, float) if isinstance(value, kind))
        return f"{kind.__name__} {kind(value)!r}"
    return type(value).__name__


def attempt(function: Callable[[], Any]) -> Any:
    """What a function gives; an exception by its type. What has to be awaited is awaited."""
    try:
        value = function()
        if inspect.iscoroutine(value):
            return {"awaited": told(asyncio.run(value))}
        return told(value)
    except Exception as error:  # noqa: BLE001 - the result
        return f"raises {type(error).__name__}"


def attempt_in_loop(function: Callable[[], Any]) -> Any:
    """The same within a running event loop."""

    async def go() -> Any:
        value = function()
        if inspect.isawaitable(value):
            return {"awaited": told(await value)}
        return told(value)

    try:
        return asyncio.run(go())
    except Exception as error:  # noqa: BLE001 - the result
        return f"raises {type(error).__name__}"


def both(make: Callable[[], Any]) -> dict[str, Any]:
    """A rubric's score without and within an event loop, the calls that it made, and what it remembers."""
    found: dict[str, Any] = {}
    for way, call in (("plain", attempt), ("loop", attempt_in_loop)):
        CALLS.clear()
        try:
            rubric = make()
        except Exception as error:  # noqa: BLE001 - the result
            return {"made": f"raises {type(error).__name__}"}
        found[way] = call(lambda rubric=rubric: rubric("a", "o"))
        found[f"{way} calls"] = list(CALLS)
        found[f"{way} last"] = told(rubric.last_score)
    return found


SCORED: dict[str, Callable[[], Rubric]] = {
    "sync": lambda: Fixed(0.5),
    "async": lambda: Slow(0.5),
    "an int": lambda: Fixed(1),
    "a bool": lambda: Fixed(True),
    "None": lambda: Fixed(None),
    "a text": lambda: Fixed("x"),
    "infinite": lambda: Fixed(INFINITE),
    "raises": lambda: Fixed(KeyError("k")),
    "async raises": lambda: Slow(KeyError("k")),
    "sequential empty": Sequential,
    "sequential": lambda: Sequential(Fixed(0.5, "a"), Fixed(0.7, "b")),
    "sequential one": lambda: Sequential(Fixed(3)),
    "sequential stops": lambda: Sequential(Fixed(0.0, "a"), Fixed(0.7, "b")),
    "sequential stops at the end": lambda: Sequential(Fixed(1, "a"), Fixed(0.0, "b")),
    "sequential stops at False": lambda: Sequential(Fixed(False, "a"), Fixed(0.7, "b")),
    "sequential passes a negative": lambda: Sequential(Fixed(-1.0, "a"), Fixed(0.7, "b")),
    "sequential passes None": lambda: Sequential(Fixed(None, "a"), Fixed(0.7, "b")),
    "sequential of None": lambda: Sequential(Fixed(None)),
    "sequential async first": lambda: Sequential(Slow(0.5, "a"), Fixed(0.7, "b")),
    "sequential async last": lambda: Sequential(Fixed(0.5, "a"), Slow(0.7, "b")),
    "sequential async stops": lambda: Sequential(Slow(0.0, "a"), Slow(0.7, "b")),
    "sequential stops before async": lambda: Sequential(Fixed(0.0, "a"), Slow(0.7, "b")),
    "sequential raises": lambda: Sequential(Fixed(1, "a"), Fixed(KeyError("k"), "b"), Fixed(1, "c")),
    "sequential async raises": lambda: Sequential(Slow(1, "a"), Slow(KeyError("k"), "b"), Slow(1, "c")),
    "sequential of a function": lambda: Sequential(lambda action, observation: 0.4),
    "sequential in sequential": lambda: Sequential(Sequential(Fixed(0.5, "a")), Fixed(0.6, "b")),
    "sequential in gate": lambda: Gate(Sequential(Fixed(0.5)), 0.5),
    "sequential under its gate": lambda: Gate(Sequential(Fixed(0.5))),
    "sequential in sum": lambda: WeightedSum([Sequential(Fixed(0.5)), Fixed(1.0)], [0.5, 0.5]),
    "sequential passed on": lambda: Passing(Sequential(Fixed(0.5))),
    "sequential awaited": lambda: Awaiting(Sequential(Fixed(0.5))),
    "gate shut": lambda: Gate(Fixed(0.5)),
    "gate open": lambda: Gate(Fixed(0.5), 0.5),
    "gate of an int": lambda: Gate(Fixed(1)),
    "gate of no number": lambda: Gate(Fixed(NO_NUMBER)),
    "gate async": lambda: Gate(Slow(0.5), threshold=0.5),
    "gate async shut": lambda: Gate(Slow(0.5)),
    "gate raises": lambda: Gate(Fixed(KeyError("k"))),
    "sum": lambda: WeightedSum([Fixed(0.5, "a"), Fixed(1, "b")], [0.5, 0.5]),
    "sum mixed": lambda: WeightedSum([Fixed(0.5, "a"), Slow(1, "b")], [0.25, 0.75]),
    "sum async": lambda: WeightedSum([Slow(0.5, "a"), Slow(1, "b")], [0.5, 0.5]),
    "sum of negative weights": lambda: WeightedSum([Fixed(1), Fixed(2)], [-1, 2]),
    "sum within tolerance": lambda: WeightedSum([Fixed(1)], [1 + 9e-7]),
    "sum without tolerance": lambda: WeightedSum([Fixed(1)], [1 + 2e-6]),
    "sum of tuples": lambda: WeightedSum((Fixed(1),), (1.0,)),
    "sum of too little": lambda: WeightedSum([Fixed(1)], [0.5]),
    "sum of nothing": lambda: WeightedSum([], []),
    "sum of other lengths": lambda: WeightedSum([Fixed(1)], [0.5, 0.5]),
    "sum of no number": lambda: WeightedSum([Fixed(1)], [NO_NUMBER]),
    "sum raises": lambda: WeightedSum([Fixed(1, "a"), Fixed(KeyError("k"), "b")], [0.5, 0.5]),
    "sum async raises": lambda: WeightedSum([Slow(KeyError("k"), "a"), Slow(1, "b")], [0.5, 0.5]),
    "list": lambda: RubricList([Fixed(1)]),
    "dict": lambda: RubricDict({"a": Fixed(1)}),
    "deep": lambda: Sequential(
        Gate(Fixed(1.0, "a")), WeightedSum([Fixed(0.5, "b"), Gate(Slow(1.0, "c"))], [0.5, 0.5]), Passing(Slow(0.9, "d"))
    ),
}


def hooked(rubric: Rubric, name: str, *, before: bool = False, after: bool = False) -> Rubric:
    """The rubric with a hook before and one after, asynchronous where that is asked for."""

    async def later_before(rubric: Any, action: Any, observation: Any) -> None:
        CALLS.append(f"before {name} {action}{observation}")

    async def later_after(rubric: Any, action: Any, observation: Any, score: Any) -> None:
        CALLS.append(f"after {name} {score} {rubric.last_score}")

    def now_before(rubric: Any, action: Any, observation: Any) -> None:
        CALLS.append(f"before {name} {action}{observation}")

    def now_after(rubric: Any, action: Any, observation: Any, score: Any) -> str:
        CALLS.append(f"after {name} {score} {rubric.last_score}")
        return "ignored"

    rubric.register_forward_pre_hook(later_before if before else now_before)
    rubric.register_forward_hook(later_after if after else now_after)
    return rubric


def hooks() -> dict[str, Any]:
    """Which hooks run, when, and what they see."""
    kinds: dict[str, Callable[[], Rubric]] = {
        "sync": lambda: Fixed(0.5),
        "async": lambda: Slow(0.5),
        "sequential": lambda: Sequential(hooked(Fixed(0.5), "a"), hooked(Fixed(0.6), "b")),
        "sequential empty": Sequential,
        "sequential stops": lambda: Sequential(hooked(Fixed(0.0), "a"), hooked(Fixed(0.6), "b")),
        "sequential mixed": lambda: Sequential(hooked(Fixed(0.5), "a"), hooked(Slow(0.6), "b"), hooked(Fixed(0.7), "c")),
        "gate": lambda: Gate(hooked(Fixed(0.5), "a")),
        "gate async": lambda: Gate(hooked(Slow(0.5), "a")),
        "sum": lambda: WeightedSum([hooked(Fixed(0.5), "a"), hooked(Fixed(1.0), "b")], [0.5, 0.5]),
        "sum mixed": lambda: WeightedSum([hooked(Fixed(0.5), "a"), hooked(Slow(1.0), "b")], [0.5, 0.5]),
    }
    found = {}
    for name, make in kinds.items():
        for before in (False, True):
            for after in (False, True):
                kind = f"{name} {'async' if before else 'sync'} before {'async' if after else 'sync'} after"
                found[kind] = both(
                    lambda make=make, before=before, after=after: hooked(make(), "top", before=before, after=after)
                )

    def failing() -> Rubric:
        rubric = Fixed(0.5)
        rubric.register_forward_hook(lambda *given: [][0])
        return rubric

    found["a hook raises"] = both(failing)
    register: Any = Fixed(1).register_forward_hook
    found["registering gives"] = told(register(lambda *given: None))
    return found


def early() -> dict[str, Any]:
    """Rubrics that are made the wrong way."""

    class Before(Rubric):
        def __init__(self) -> None:
            self.child = Fixed(1)
            super().__init__()

        def forward(self, action: Any, observation: Any) -> Any:
            return self.child(action, observation)

    class Never(Rubric):
        def __init__(self) -> None:
            self.number = 1.0

        def forward(self, action: Any, observation: Any) -> Any:
            return self.number

    return {
        "a child before super().__init__()": attempt(lambda: Before()("a", "o")),
        "without super().__init__()": attempt(lambda: Never()("a", "o")),
        "abstract": attempt(Rubric),
        "abstract trajectory": attempt(TrajectoryRubric),
        "abstract discounting": attempt(ExponentialDiscountingTrajectoryRubric),
    }


def scores() -> dict[str, Any]:
    """Every kind of rubric, without and within an event loop."""
    return {name: both(make) for name, make in SCORED.items()}


CASES: dict[str, Callable[[], dict[str, Any]]] = {function.__name__: function for function in (scores, hooks, early)}
