"""Many environments stepped as one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from openenv.client import Connection, EndedStepResult, VectorEnvClient
from openenv.errors import BatchFailed, ConfigurationError, DeadlineExceeded, ServerError, SessionLost, ValidationFailed
from openenv.types import StepResult
from snake_env.client import SnakeEnv
from snake_env.models import SnakeAction, SnakeObservation
from tests.support.local import until
from tests.support.processes import Server, Servers

HERE = Path(__file__).parent

pytestmark = pytest.mark.e2e


def say(*texts: str, end: str | None = None) -> list[dict[str, Any]]:
    return [{"text": text, "end": end if text == "end" else None} for text in texts]


async def test_numbers_of_numpy_are_numbers(snake: Server) -> None:
    async with VectorEnvClient(snake.url, 2) as vector:
        plain = await vector.reset(seed=[3, 4])
        assert await vector.reset(seed=np.int64(3)) == plain
        assert await vector.reset(seed=np.arange(3, 5)) == plain
        await vector.reset(seed=3, options={"width": np.int64(8)}, indices=np.array([1]))
        children = await vector.sessions[0].fork(2, reseed=np.arange(2))
        assert len(children) == 2
        for wrong in ("x", 1.5, ["x", 1]):
            with pytest.raises(ValidationFailed, match="a seed is a whole number"):
                await vector.reset(seed=wrong)  # type: ignore[arg-type]
        with pytest.raises(ValidationFailed, match="has no form on the wire"):
            await vector.reset(options={"width": np.arange(2)})


async def test_seeds_as_in_gymnasium(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 3) as vector:
        assert len(vector) == len(vector.sessions) == 3

        def seeds(results: list[StepResult[Any]]) -> list[Any]:
            return [(result.metadata or {}).get("seed") for result in results]

        assert seeds(await vector.reset(seed=7)) == [7, 8, 9]
        assert seeds(await vector.reset(seed=[5, None, 3])) == [5, None, 3]
        assert seeds(await vector.reset()) == [None] * 3
        assert seeds(await vector.reset(seed=7, indices=[2, 0])) == [9, 7]
        begun = await vector.reset(options={"greeting": "hi"})
        assert [result.observation["text"] for result in begun] == ["hi"] * 3
        with pytest.raises(ValidationFailed, match="2 seeds for 3 environments"):
            await vector.reset(seed=[1, 2])
        with pytest.raises(ValidationFailed, match="no environment 3"):
            await vector.reset(indices=[3])


async def test_one_frame_for_each_step(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 20) as vector:
        await vector.reset()
        before = vector.connection._conversation._last_id
        for count in range(1, 4):
            results = await vector.step(say(*map(str, range(20))))
            assert [(result.observation["count"], result.observation["text"]) for result in results] == [
                (count, str(place)) for place in range(20)
            ]
        assert vector.connection._conversation._last_id == before + 3
        with pytest.raises(ValidationFailed, match="19 actions for 20 environments"):
            await vector.step(say(*map(str, range(19))))


async def test_next_step_resets_with_the_next_step_and_ignores_its_action(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 2, reset_options={"greeting": "anew"}) as vector:
        await vector.reset()
        ended, on = await vector.step(say("end", "a", end="truncated"))
        assert (ended.done, ended.truncated, ended.terminated) == (True, True, False)
        assert ended.stop_reason == "because it was truncated"
        assert (on.done, vector.ended) == (False, [True, False])
        begun, on = await vector.step([None, *say("b")])
        assert (begun.observation["text"], begun.observation["count"], begun.done, begun.terminated) == ("anew", 0, False, False)
        assert on.observation["count"] == 2
        assert vector.ended == [False, False]
        assert [result.observation["count"] for result in await vector.step(say("c", "c"))] == [1, 3]


async def test_same_step_resets_at_once_and_keeps_how_it_ended(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 3, autoreset="same_step") as vector:
        await vector.reset()
        ended, on, also = await vector.step(say("end", "a", "end", end="terminated"))
        for result in (ended, also):
            assert isinstance(result, EndedStepResult)
            assert (result.observation["text"], result.observation["count"]) == ("ready", 0)
            assert (result.reward, result.done, result.terminated, result.truncated) == (3.0, True, True, False)
            assert result.stop_reason == "because it was terminated"
            assert result.final is not None
            assert (result.final.observation["text"], result.final.done) == ("end", True)
        assert type(on) is StepResult
        assert [result.observation["count"] for result in await vector.step(say("c", "c", "c"))] == [1, 2, 1]


async def test_disabled_leaves_it_to_the_caller(snake: Server) -> None:
    async with VectorEnvClient(snake.url, 2, autoreset="disabled", client=SnakeEnv, errors="return") as vector:
        [first, second] = await vector.reset(seed=1)
        assert isinstance(first.observation, SnakeObservation)
        while not first.done:
            way = SnakeAction(direction=first.observation.heading)
            first, second = await vector.step([way, SnakeAction(direction=second.observation.legal_actions[0])])
        assert vector.ended[0]
        over, _ = await vector.step([SnakeAction(direction="up"), SnakeAction(direction=second.observation.legal_actions[0])])
        assert isinstance(over, ServerError)
        assert over.code == "EPISODE_OVER"
        [again] = await vector.reset(seed=1, indices=[0])
        assert (again.observation.steps, vector.ended[0]) == (0, False)


@pytest.mark.parametrize("errors", ["raise", "return"])
async def test_an_error_of_one_costs_the_others_nothing(talk: Server, errors: Literal["raise", "return"]) -> None:
    async with VectorEnvClient(talk.url, 3, errors=errors) as vector:
        await vector.reset()
        actions = [*say("a", "boom"), {"txt": 1}]
        if errors == "raise":
            with pytest.raises(BatchFailed, match="2 of 3") as caught:
                await vector.step(actions)
            results = caught.value.results
        else:
            results = list(await vector.step(actions))
        assert [type(result) for result in results] == [StepResult, ServerError, ServerError]
        assert [result.observation["count"] for result in await vector.step(say("b", "b", "b"))] == [2, 1, 1]


async def test_a_lost_session_is_replaced(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 3, errors="return") as vector, Connection(talk.url) as other:
        await vector.reset()
        kept = vector.sessions[0].id
        await (await other.attach(vector.sessions[1].id)).close()
        await until(lambda: vector.lost)
        assert list(vector.lost) == [1]
        results = await vector.step(say("a", "a", "a"))
        assert [type(result) for result in results] == [StepResult, SessionLost, StepResult]
        await vector.restart()
        assert vector.lost == {}
        assert vector.sessions[0].id == kept
        results = await vector.step(say("b", "b", "b"))
        assert [result.observation["count"] for result in results] == [2, 0, 2]
        await vector.restart()
        await vector.restart(0)
        assert vector.sessions[0].id != kept
        assert vector.ended == [True, False, False]


async def test_a_late_one_does_not_hold_up_the_others(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 2, errors="return") as vector:
        await vector.reset()
        actions = [{"text": "a"}, {"text": "b", "seconds": 30}]
        first, second = await vector.step(actions, timeout_s=1.5)
        assert isinstance(first, StepResult)
        assert isinstance(second, DeadlineExceeded)
        assert [result.observation["count"] for result in await vector.step(say("c", "c"))] == [2, 1]


async def test_more_than_one_frame_holds(talk: Server) -> None:
    async with VectorEnvClient(talk.url, 9) as vector:
        await vector.reset()
        conversation = vector.connection._conversation
        assert conversation.hello is not None
        small = type(conversation.hello.limits)(batch=4)
        object.__setattr__(conversation.hello, "limits", small)
        before = conversation._last_id
        results = await vector.step(say(*"abcdefghi"))
        assert [result.observation["text"] for result in results] == list("abcdefghi")
        assert conversation._last_id == before + 3


async def test_two_hundred_and_fifty_six(snake: Server) -> None:
    async with VectorEnvClient(snake.url, 256, client=SnakeEnv) as vector:
        results = await vector.reset(seed=0)
        for _ in range(20):
            results = await vector.step([SnakeAction(direction=(one.observation.legal_actions or ["up"])[0]) for one in results])
        assert len({result.observation.board for result in results}) > 50


def test_blocking(talk: Server) -> None:
    with VectorEnvClient(talk.url, 3) as vector:
        assert len(vector) == vector.num_envs == 3
        vector.reset(seed=1)
        results = vector.step(say("a", "b", "c"))
        assert [result.observation["text"] for result in results] == ["a", "b", "c"]
        vector.sessions[0].step({"text": "x"})
        assert vector.sessions[0].state()["said"] == ["a", "x"]
        vector.restart(1)
        assert (vector.ended, vector.lost) == ([False, True, False], {})


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"num_envs": 0}, "num_envs"), ({"autoreset": "never"}, "autoreset"), ({"errors": "ignore"}, "errors")],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        VectorEnvClient("localhost:1", arguments.pop("num_envs", 2), **arguments)
    assert caught.value.field == field


async def test_too_many_for_the_server_leave_nothing_behind(serve: Servers) -> None:
    server = serve("v2_toys:tight_app", cwd=HERE)
    with pytest.raises(ServerError) as caught:
        await VectorEnvClient(server.url, 11).__aenter__()
    assert caught.value.code == "CAPACITY_REACHED"
    for _ in range(100):
        try:
            async with VectorEnvClient(server.url, 10) as vector:
                assert len(await vector.reset()) == 10
        except ServerError:
            await asyncio.sleep(0.05)
        else:
            break
    else:
        pytest.fail("the sessions of the first one are still there")
