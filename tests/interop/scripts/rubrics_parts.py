"""Rubrics apart from their scores: names, members, episodes, settings, judges; and transforms."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from openenv.core.env_server.base_transforms import CompositeTransform, NullTransform
from openenv.core.env_server.interfaces import Transform
from openenv.core.env_server.types import Observation
from openenv.core.llm_client import LLMClient
from openenv.core.rubrics import (
    ExponentialDiscountingTrajectoryRubric,
    Gate,
    LLMJudge,
    Rubric,
    RubricDict,
    RubricList,
    Sequential,
    TrajectoryRubric,
    WeightedSum,
)
from tests.interop.scripts.rubrics_scores import CALLS, NO_NUMBER, Fixed, Passing, Slow, attempt, attempt_in_loop, told


class Chosen(Rubric):
    """Picks among members."""

    def __init__(self) -> None:
        super().__init__()
        self.by_place = RubricList([Fixed(0.1), Fixed(0.2)])
        self.by_name = RubricDict({"chess": Fixed(0.3), "go": Sequential(Fixed(0.4), Gate(Fixed(0.5)))})

    def forward(self, action: Any, observation: Any) -> Any:
        return self.by_name[observation](action, observation) + self.by_place[action](action, observation)


def scored(rubric: Any) -> Any:
    """The score that a toy was made with."""
    return rubric.score


def tree() -> Rubric:
    """A rubric with all kinds below it."""
    return Sequential(Gate(Fixed(1)), WeightedSum([Fixed(1), Chosen()], [0.5, 0.5]))


def names() -> dict[str, Any]:
    """Children, paths, and what they lead to."""
    top = tree()

    class Own(Rubric):
        def __init__(self) -> None:
            super().__init__()
            self.first = Fixed(1)
            self.second = Fixed(2)
            self.listed = [Fixed(3)]

        def forward(self, action: Any, observation: Any) -> Any:
            return self.first(action, observation)

    own = Own()
    found: dict[str, Any] = {
        "children": [type(child).__name__ for child in top.children()],
        "named children": [name for name, _ in top.named_children()],
        "rubrics": [type(child).__name__ for child in top.rubrics()],
        "named rubrics": [name for name, _ in top.named_rubrics()],
        "with a prefix": [name for name, _ in own.named_rubrics("top")],
        "attributes": [name for name, _ in own.named_rubrics()],
        "twice the same": [name for name, _ in Sequential(own, own).named_children()],
    }
    for path in ("rubric_0", "rubric_0.rubric", "rubric_1.rubric_1.by_name.go.rubric_1", "", ".", "no", "rubric_0.no"):
        found[f"get {path!r}"] = attempt(lambda path=path: top.get_rubric(path))
    own.second = Fixed(5)
    found["replaced"] = [scored(own.get_rubric("second")), len(list(own.children()))]
    own.second = None
    found["set to None"] = [name for name, _ in own.named_children()]
    return found


def members() -> dict[str, Any]:
    """Containers as collections."""
    one, two, three = Fixed(1), Fixed(2), Fixed(3)
    row = Sequential(one, two)
    listed = RubricList([one])
    listed.append(two)
    listed.extend([three])
    named = RubricDict({"a": one})
    named["b"] = two
    named.update({"c": three, "a": two})
    weighted = WeightedSum([one], [1])
    weighted.weights.append(3.0)
    return {
        "sequential": [len(row), row[0] is one, row[-1] is two, [child is two for child in row[1:]]],
        "sequential out of range": attempt(lambda: row[2]),
        "list": [len(listed), [scored(rubric) for rubric in listed], listed[-1] is three],
        "list names": [name for name, _ in listed.named_children()],
        "dict": [len(named), list(named), list(named.keys()), [scored(rubric) for rubric in named.values()]],
        "dict items": [[name, scored(rubric)] for name, rubric in named.items()],
        "dict has": ["a" in named, "z" in named, named["a"] is two, vars(named)["a"] is two],
        "dict misses": attempt(lambda: named["z"]),
        "dict names": [name for name, _ in named.named_children()],
        "dict key": attempt(lambda: named.__setitem__(3, one)),
        "weights": weighted.weights,
        "weights are set": attempt(lambda: setattr(weighted, "weights", [2])),
        "empty": [len(RubricList()), len(RubricDict()), len(Sequential())],
        "chosen": told(Chosen()(1, "chess")),
        "forward": [told(rubric.forward("a", "o")) for rubric in (row, Gate(one), weighted)],
        "forward async": [
            attempt(lambda: Sequential(Slow(0.4)).forward("a", "o")),
            attempt(lambda: Gate(Slow(0.4)).forward("a", "o")),
            attempt(lambda: WeightedSum([Slow(0.4)], [1]).forward("a", "o")),
        ],
        "by name": told(Fixed(0.5)(action="a", observation="o")),
        "copied": told(copy.deepcopy(row)("a", "o")),
        "pickled": told(pickle.loads(pickle.dumps(row))("a", "o")),
    }


class Counting(TrajectoryRubric):
    """A tenth for each step."""

    def score_trajectory(self, trajectory: Any) -> float:
        return len(trajectory) / 10

    def compute_step_rewards(self) -> list[float]:
        return [self.score_trajectory(self._trajectory)] * len(self._trajectory)


class Discounted(ExponentialDiscountingTrajectoryRubric):
    """The last observation's score."""

    def score_trajectory(self, trajectory: Any) -> Any:
        return trajectory[-1][1].score


class Late(ExponentialDiscountingTrajectoryRubric):
    """A score that waits."""

    async def score_trajectory(self, trajectory: Any) -> Any:
        return 0.8


def seen(done: Any, score: float = 0.5) -> Any:
    """An observation."""
    return SimpleNamespace(done=done, score=score)


def played(rubric: TrajectoryRubric, *dones: Any) -> list[Any]:
    """The rewards of an episode, then those of its steps."""
    rewards = [attempt(lambda step=step, done=done: rubric(step, seen(done, 2.0))) for step, done in enumerate(dones)]
    return [*rewards, [round(reward, 12) for reward in rubric.compute_step_rewards()]]


def episodes() -> dict[str, Any]:
    """Rubrics of whole episodes."""
    found: dict[str, Any] = {
        "counting": played(Counting(0.1), False, False, True),
        "not over": played(Discounted(0.9), False, False),
        "nothing yet": Discounted().compute_step_rewards(),
        "without done": attempt(lambda: Counting()(1, object())),
        "a dict": attempt(lambda: Counting()(1, {"done": True})),
        "done is 1": attempt(lambda: Counting()(1, seen(1))),
        "late": both_episode(Late()),
    }
    for gamma in (0.0, 0.5, 0.99, 1.0):
        found[f"gamma {gamma}"] = played(Discounted(gamma), False, False, True)
    for wrong in (-0.1, 1.1, NO_NUMBER, "a", None):
        found[f"gamma {wrong}"] = attempt(lambda wrong=wrong: Discounted(wrong))
    rubric = Counting()
    played(rubric, False, True)
    rubric.trajectory.clear()
    found["the copy"] = len(rubric.trajectory)
    found["over and on"] = [told(rubric(1, seen(True))), len(rubric.trajectory)]
    rubric.reset()
    found["reset"] = [len(rubric.trajectory), told(rubric.last_score)]
    inner = Discounted()
    outer = Passing(inner)
    outer(1, seen(False))
    CALLS.clear()
    row = Sequential(Fixed(1, "a"), Gate(Fixed(1, "b")))
    for one in (outer, row):
        one.reset()
    found["reset below"] = {"steps": len(inner.trajectory), "calls": list(CALLS)}
    return found


def both_episode(rubric: Late) -> list[Any]:
    """A score that waits, without and within a loop, and what its steps' rewards are."""
    scores = [attempt(lambda: rubric(1, seen(False))), attempt(lambda: rubric(1, seen(True)))]
    return [*scores, attempt_in_loop(lambda: rubric(1, seen(True))), attempt(rubric.compute_step_rewards)]


class Saying(LLMClient):
    """A client that says what it was told to say."""

    def __init__(self, answer: Any) -> None:
        super().__init__("http://localhost", 1)
        self.answer = answer
        self.prompts: list[Any] = []

    async def complete(self, prompt: str, **kwargs: Any) -> Any:
        self.prompts.append([prompt, kwargs])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def judged(answer: Any, template: str = "{action}|{observation}", **settings: Any) -> Any:
    """The score that a judge reads in an answer, and what it asked."""
    client = Saying(answer)
    try:
        judge = LLMJudge(template, client, **settings)
    except Exception as error:  # noqa: BLE001 - the result
        return f"raises {type(error).__name__}"
    return [attempt(lambda: judge("{observation}", {"k": 1})), client.prompts, told(judge.last_score)]


def judges() -> dict[str, Any]:
    """What a judge asks, and what it makes of the answers."""
    answers = ("0.7", "Score: 0.8 of 1", "1", "7", "-0.5", "10/10", "none", "", ".5", "1.", "0.2 and 0.9", "٣", None, 5)
    found = {f"says {answer!r}": judged(answer) for answer in answers}
    found |= {f"as it is {answer!r}": judged(answer, normalize=False) for answer in ("7", "-3")}
    found |= {f"default {number}": judged("none", default_score=number) for number in (0.3, 3)}
    for pattern in (r"score=(\d+)", r"\d+\.\d+", r"([a-z]+)", r"(x)?(\d)", "("):
        found[f"pattern {pattern}"] = judged("score=9 0.5", score_pattern=pattern, normalize=False)
    for template in ("plain", "{action} {other}", "{0}", "{{x}} {action}", "{observation[k]}", "{observation!r}", "{"):
        found[f"template {template}"] = judged("1", template)
    found["raises"] = judged(ConnectionError("down"))
    found["positional"] = attempt(lambda: LLMJudge("p", Saying("1"), "x"))
    return found


def settings() -> dict[str, Any]:
    """What is kept of a rubric, and taken over."""
    judge = LLMJudge("p {action}", Saying("1"), score_pattern=r"(\d)", default_score=0.2, normalize=False)
    found: dict[str, Any] = {
        "plain": [rubric.state_dict() for rubric in (Fixed(1), tree(), Gate(Fixed(1), 0.3), RubricList(), Counting(0.2))],
        "judge": [judge.state_dict(), LLMJudge("p", Saying("1")).state_dict()],
        "discounted": Discounted(0.5, 0.1).state_dict(),
    }
    judge.load_state_dict({"prompt_template": "q", "other": 1})
    found["judge, one taken over"] = judge.state_dict()
    judge.load_state_dict({"score_pattern": r"\d", "default_score": 1.0, "normalize": True})
    found["judge, the rest"] = judge.state_dict()
    found["judge, a wrong pattern"] = attempt(lambda: judge.load_state_dict({"score_pattern": "("}))
    rubric = Discounted(0.5, 0.1)
    rubric.load_state_dict({"gamma": 0.25})
    found["discounted, one taken over"] = rubric.state_dict()
    found["discounted, a wrong one"] = attempt(lambda: rubric.load_state_dict({"gamma": 7}))
    gate = Gate(Fixed(1), 0.3)
    found["plain takes nothing"] = [attempt(lambda: gate.load_state_dict({"threshold": 0.9})), gate.threshold]
    return found


class Noting(Transform[Observation]):
    """Leaves a note."""

    def __init__(self, note: str) -> None:
        self.note = note

    def __call__(self, observation: Observation) -> Observation:
        return observation.model_copy(update={"metadata": {**observation.metadata, self.note: len(observation.metadata)}})


def transforms() -> dict[str, Any]:
    """Transforms one after the other."""
    seen_as_is = Observation(reward=1.0)
    chain = CompositeTransform([Noting("a"), NullTransform(), Noting("b")])
    first = chain(seen_as_is).metadata
    chain.transforms.append(Noting("c"))
    return {
        "chain": first,
        "longer": chain(seen_as_is).metadata,
        "nothing": [CompositeTransform([])(seen_as_is) is seen_as_is, NullTransform()(seen_as_is) is seen_as_is],
    }


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    function.__name__: function for function in (names, members, episodes, judges, settings, transforms)
}
