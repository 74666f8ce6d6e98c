"""Rubrics: what a score is within an event loop and without, hooks, names, resetting, episodes, judges."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

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


class Fixed(Rubric):
    """Always the same score."""

    def __init__(self, score: Any) -> None:
        super().__init__()
        self.score = score
        self.resets = 0

    def forward(self, action: Any, observation: Any) -> Any:
        return self.score

    def reset(self) -> None:
        self.resets += 1


class Slow(Fixed):
    """The same, after a turn of the event loop."""

    async def forward(self, action: Any, observation: Any) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.score


class Passing(Rubric):
    """Uses its child."""

    def __init__(self, inner: Rubric) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, action: Any, observation: Any) -> Any:
        return self.inner(action, observation)


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_rubrics_load_neither_a_server_nor_mcp_nor_an_http_client() -> None:
    heavy = {"fastapi", "starlette", "uvicorn", "typer", "fastmcp", "mcp", "httpx", "websockets"}
    assert not loaded_by("import openenv.core.rubrics.base, openenv.core.rubrics") & heavy


class TestWithinALoop:
    """A caller of a synchronous rubric may await its score or use it: what 0.10's callers do, for all scores."""

    @pytest.mark.parametrize("score", [0.0, 0.5, 1, True, -2.0])
    async def test_a_sequential_s_score_is_awaited_or_used(self, score: Any) -> None:
        rubric = Sequential(Fixed(score))
        assert await rubric("a", "o") == score
        assert rubric("a", "o") == score
        assert isinstance(rubric("a", "o"), float)
        assert rubric("a", "o") + 1 == score + 1
        assert rubric.last_score == score

    async def test_an_awaited_score_has_its_own_type(self) -> None:
        assert type(await Sequential(Fixed(3))("a", "o")) is int
        assert type(await Sequential(Fixed(0.5))("a", "o")) is float

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda inner: Gate(inner, 0.2), 0.5),
            (Gate, 0.0),
            (lambda inner: WeightedSum([inner, Fixed(1.0)], [0.5, 0.5]), 0.75),
            (Passing, 0.5),
            (lambda inner: Sequential(Gate(inner, 0.2)), 0.5),
        ],
    )
    async def test_what_stands_on_a_sequential_is_awaited_or_used(self, make: Any, expected: float) -> None:
        rubric = make(Sequential(Fixed(0.5)))
        assert await rubric("a", "o") == expected
        assert rubric("a", "o") == expected
        assert type(rubric.last_score) is float

    async def test_other_synchronous_rubrics_give_plain_scores(self) -> None:
        for rubric in (Fixed(0.5), Gate(Fixed(0.5), 0.1), WeightedSum([Fixed(0.5)], [1.0])):
            assert type(rubric("a", "o")) is float

    async def test_what_is_no_number_is_a_coroutine(self) -> None:
        assert await Sequential(Fixed("text"))("a", "o") == "text"

    async def test_a_used_score_is_a_number_to_others(self) -> None:
        class Reply(BaseModel):
            reward: float | int | bool | None

        score = Sequential(Fixed(0.5))("a", "o")
        assert Reply(reward=score).model_dump_json() == '{"reward":0.5}'
        assert json.dumps({"reward": score}) == '{"reward": 0.5}'
        assert type(pickle.loads(pickle.dumps(score))) is float
        assert type(copy.deepcopy(score)) is float

    async def test_asynchronous_hooks_of_a_sequential_run(self) -> None:
        calls: list[str] = []

        async def before(rubric: Any, action: Any, observation: Any) -> None:
            calls.append("before")

        async def after(rubric: Any, action: Any, observation: Any, score: Any) -> None:
            calls.append(f"after {score}")

        rubric = Sequential(Fixed(0.0))
        rubric.register_forward_pre_hook(before)
        rubric.register_forward_hook(after)
        assert await rubric("a", "o") == 0.0
        assert calls == ["before", "after 0.0"]

    async def test_gathered(self) -> None:
        row = Sequential(Fixed(0.5))
        assert list(await asyncio.gather(row("a", "o"), Sequential(Slow(0.25))("a", "o"))) == [0.5, 0.25]


def test_without_a_loop_a_synchronous_score_is_plain() -> None:
    assert type(Sequential(Fixed(0.5))("a", "o")) is float
    assert type(Sequential(Fixed(0.0))("a", "o")) is float


async def test_asynchronous_rubrics_of_a_sum_run_at_the_same_time() -> None:
    together = asyncio.Barrier(2)

    class Meeting(Rubric):
        async def forward(self, action: Any, observation: Any) -> float:  # type: ignore[override]
            await together.wait()
            return 1.0

    async with asyncio.timeout(5):
        assert await WeightedSum([Meeting(), Meeting()], [0.5, 0.5])("a", "o") == 1.0


async def test_an_asynchronous_sequential_stops_at_zero() -> None:
    last = Slow(1.0)
    rubric = Sequential(Fixed(0.5), Slow(0.0), last)
    assert await rubric("a", "o") == 0.0
    assert last.last_score is None


async def test_a_cancelled_score_is_none() -> None:
    class Endless(Rubric):
        async def forward(self, action: Any, observation: Any) -> float:  # type: ignore[override]
            await asyncio.Event().wait()
            return 1.0

    rubric = Sequential(Fixed(1.0), Gate(Endless()))
    task = asyncio.ensure_future(rubric("a", "o"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rubric.last_score is None


def test_a_hook_of_what_failed_leaves_no_coroutine_behind() -> None:
    rubric = Failing()
    rubric.register_forward_pre_hook(lambda *given: asyncio.sleep(0))
    with pytest.raises(KeyError):
        rubric("a", "o")


class Failing(Rubric):
    """Has no score."""

    def forward(self, action: Any, observation: Any) -> float:
        raise KeyError("no score")


def test_hooks_see_the_score_and_run_in_order() -> None:
    calls: list[Any] = []
    rubric = Fixed(0.5)
    rubric.register_forward_pre_hook(lambda *given: calls.append(given))
    rubric.register_forward_hook(lambda *given: calls.append((*given, rubric.last_score)))
    assert rubric(action="a", observation="o") == 0.5
    assert calls == [(rubric, "a", "o"), (rubric, "a", "o", 0.5, 0.5)]


async def test_hooks_of_an_asynchronous_rubric_may_wait() -> None:
    calls: list[str] = []

    async def before(rubric: Any, action: Any, observation: Any) -> None:
        await asyncio.sleep(0)
        calls.append("waited before")

    async def after(rubric: Any, action: Any, observation: Any, score: Any) -> None:
        await asyncio.sleep(0)
        calls.append("waited after")

    rubric = Slow(0.5)
    rubric.register_forward_pre_hook(lambda *given: calls.append("first"))
    rubric.register_forward_pre_hook(before)
    rubric.register_forward_pre_hook(lambda *given: calls.append("third"))
    rubric.register_forward_hook(after)
    assert await rubric("a", "o") == 0.5
    assert calls == ["first", "waited before", "third", "waited after"]


def test_a_hook_that_cannot_be_awaited_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def hook(*given: Any) -> None:
        raise AssertionError("nobody awaits this")

    rubric = Fixed(0.5)
    rubric.register_forward_pre_hook(hook)
    rubric.register_forward_hook(hook)
    with caplog.at_level(logging.WARNING, "openenv.core.rubrics"):
        assert [rubric("a", "o"), rubric("a", "o")] == [0.5, 0.5]
    assert [record.message.split(",")[0] for record in caplog.records] == ["Fixed gave its score at once"]


class TestNames:
    """Children, as attributes have them."""

    def test_paths(self) -> None:
        top = Passing(RubricDict({"go": Sequential(Gate(Fixed(1)))}))
        assert [name for name, _ in top.named_rubrics()] == [
            "inner",
            "inner.go",
            "inner.go.rubric_0",
            "inner.go.rubric_0.rubric",
        ]
        assert isinstance(top.get_rubric("inner.go.rubric_0"), Gate)
        with pytest.raises(KeyError, match=r"inner\.chess'. There is no 'chess' in RubricDict, only go"):
            top.get_rubric("inner.chess")

    def test_an_attribute_that_is_none_any_more_is_no_child_any_more(self) -> None:
        top: Any = Passing(Fixed(1))
        top.inner = None
        assert list(top.children()) == []
        top.inner = Fixed(2)
        del top.inner
        assert list(top.named_children()) == []

    def test_super_init_may_be_late_or_missing(self) -> None:
        class Hasty(Rubric):
            def __init__(self) -> None:
                self.child = Fixed(0.5)

            def forward(self, action: Any, observation: Any) -> Any:
                return self.child(action, observation)

        rubric = Hasty()
        assert rubric("a", "o") == 0.5
        assert rubric.last_score == 0.5
        assert [name for name, _ in rubric.named_children()] == ["child"]

    def test_a_key_hides_no_method(self) -> None:
        named = RubricDict({"items": Fixed(1), "reset": Fixed(2), "own": Fixed(3)})
        assert [name for name, _ in named.items()] == ["items", "reset", "own"]
        named.reset()
        assert [child.resets for child in named.values() if isinstance(child, Fixed)] == [1, 1, 1]
        assert named.get_rubric("items") is named["items"]
        assert named.__dict__["own"] is named["own"]

    def test_a_key_is_a_text(self) -> None:
        with pytest.raises(TypeError, match="must be a string, not int"):
            RubricDict()[3] = Fixed(1)  # type: ignore[index]

    def test_a_list_grows(self) -> None:
        listed = RubricList([Fixed(1)])
        listed.extend(listed)
        listed.append(Fixed(3))
        assert [name for name, _ in listed.named_children()] == ["rubric_0", "rubric_1", "rubric_2"]
        assert [*listed][-1] is listed[-1]

    @pytest.mark.parametrize("container", [RubricList([Fixed(1)]), RubricDict({"a": Fixed(1)})])
    def test_members_have_no_common_score(self, container: Rubric) -> None:
        with pytest.raises(NotImplementedError, match=f"{type(container).__name__} .* no score of its own"):
            container("a", "o")


class TestWeights:
    """A sum's weights."""

    @pytest.mark.parametrize("weights", [[0.5], [float("nan")], [float("inf")], [1 + 2e-6]])
    def test_must_sum_to_one(self, weights: list[float]) -> None:
        with pytest.raises(ValueError, match=r"must sum to 1\.0"):
            WeightedSum([Fixed(1)], weights)

    def test_must_be_as_many_as_rubrics(self) -> None:
        with pytest.raises(ValueError, match="1 rubrics and 2 weights"):
            WeightedSum([Fixed(1)], [0.5, 0.5])

    def test_are_a_copy(self) -> None:
        rubric = WeightedSum([Fixed(2)], [1.0])
        rubric.weights.append(3.0)
        assert rubric.weights == [1.0]


class WonOrLost(ExponentialDiscountingTrajectoryRubric):
    """The last observation's score."""

    def score_trajectory(self, trajectory: Any) -> float:
        return float(trajectory[-1][1].reward)


def test_an_episode_s_score_is_handed_to_its_steps() -> None:
    rubric = WonOrLost(0.5, intermediate_reward=0.1)
    rewards = [rubric(step, Observation(done=step == 2, reward=2.0)) for step in range(3)]
    assert rewards == [0.1, 0.1, 2.0]
    assert rubric.compute_step_rewards() == [0.5, 1.0, 2.0]
    rubric.reset()
    assert rubric.trajectory == []
    assert rubric.compute_step_rewards() == []


def test_resetting_reaches_what_is_below() -> None:
    episode, leaf = WonOrLost(), Fixed(1)
    top = Sequential(Passing(episode), Gate(leaf))
    top("a", Observation())
    top.reset()
    assert episode.trajectory == []
    assert leaf.resets == 1


async def test_resetting_waits_where_something_below_does() -> None:
    class Remote(Fixed):
        async def reset(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            self.resets += 1

    remote = Remote(1)
    waiting: Any = Sequential(remote).reset()  # type: ignore[func-returns-value]
    await waiting
    assert remote.resets == 1


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_gamma_is_a_fraction(gamma: float) -> None:
    with pytest.raises(ValueError, match="gamma"):
        WonOrLost(gamma)
    rubric = WonOrLost(0.5)
    with pytest.raises(ValueError, match="gamma"):
        rubric.load_state_dict({"gamma": gamma, "intermediate_reward": 3.0})
    assert rubric.state_dict() == {"gamma": 0.5, "intermediate_reward": 0.0}


def test_step_rewards_do_not_wait() -> None:
    class Late(ExponentialDiscountingTrajectoryRubric):
        async def score_trajectory(self, trajectory: Any) -> float:  # type: ignore[override]
            return 1.0

    rubric = Late()
    assert asyncio.run(rubric("a", Observation(done=True))) == 1.0
    with pytest.raises(TypeError, match=r"Late\.score_trajectory is asynchronous"):
        rubric.compute_step_rewards()


def test_a_trajectory_rubric_asks_for_both_methods() -> None:
    with pytest.raises(TypeError, match="abstract"):
        TrajectoryRubric()  # type: ignore[abstract]


class Judge(LLMClient):
    """Says what it was told to say."""

    def __init__(self, answer: Any) -> None:
        super().__init__("http://127.0.0.1", 1)
        self.answer = answer
        self.prompts: list[str] = []

    async def complete(self, prompt: str, **kwargs: Any) -> str:
        self.prompts.append(prompt)
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


@pytest.mark.parametrize(
    ("answer", "settings", "score"),
    [
        ("Score: 0.8, of 1", {}, 0.8),
        ("7", {}, 1.0),
        ("7", {"normalize": False}, 7.0),
        ("none", {"default_score": 0.3}, 0.3),
        ("a=1 b=2", {"score_pattern": r"b=(\d)", "normalize": False}, 2.0),
        ("b", {"score_pattern": r"b(\d)?", "default_score": 0.25}, 0.25),
        ("inf", {"score_pattern": r"inf", "default_score": 0.25}, 0.25),
    ],
)
async def test_a_judge_reads_a_score(answer: str, settings: dict[str, Any], score: float) -> None:
    client = Judge(answer)
    judge = LLMJudge("Did {action} lead to {observation}? {{0..1}}", client, **settings)
    assert await judge("{observation}", 3) == score
    assert client.prompts == ["Did {observation} lead to 3? {0..1}"]
    assert judge.last_score == score


async def test_a_judge_that_fails_gives_no_score() -> None:
    judge = LLMJudge("p", Judge(ConnectionError("down")), default_score=0.5)
    with pytest.raises(ConnectionError):
        await judge("a", "o")
    assert judge.last_score is None


def test_a_judge_s_settings() -> None:
    judge = LLMJudge("p", Judge("1"), score_pattern=r"(\d)")
    judge.load_state_dict({"score_pattern": None, "default_score": 0.5})
    assert judge.state_dict() == {
        "prompt_template": "p",
        "score_pattern": r"(\d+\.?\d*)",
        "default_score": 0.5,
        "normalize": True,
    }


async def test_judges_of_a_sum_and_a_gate() -> None:
    rubric = Sequential(Gate(Fixed(1)), WeightedSum([LLMJudge("a", Judge("0.5")), LLMJudge("b", Judge("1"))], [0.5, 0.5]))
    assert await rubric("a", "o") == 0.75


def test_transforms_follow_each_other() -> None:
    class Noting(Transform[Observation]):
        def __call__(self, observation: Observation) -> Observation:
            return observation.model_copy(update={"reward": (observation.reward or 0) + 1})

    seen = Observation()
    assert CompositeTransform([Noting(), NullTransform(), Noting()])(seen).reward == 2
    assert CompositeTransform([])(seen) is seen
