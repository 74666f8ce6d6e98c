"""Group rollouts and tree search: what a fork and a restored session know, and forks stepped as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

from openenv.client import Connection, SyncConnection, SyncRemoteSession, SyncVectorEnvClient, VectorEnvClient
from openenv.client.gymnasium import GymEnv, GymVectorEnv
from openenv.errors import ConfigurationError, SessionLost, ValidationFailed
from openenv.types import StepResult
from snake_env.client import SnakeEnv
from snake_env.gymnasium import snake_spaces
from snake_env.models import SnakeAction, SnakeObservation, SnakeState
from tests.support.local import until
from tests.support.processes import Server

Snake = SyncRemoteSession[SnakeAction, SnakeObservation, SnakeState]

pytestmark = pytest.mark.e2e


@pytest.fixture
def line(snake: Server) -> Iterator[SyncConnection]:
    with Connection(snake.url) as connection:
        yield connection


@pytest.fixture
def played(line: SyncConnection) -> Snake:
    """A snake that has taken a step."""
    [session] = line.open(client=SnakeEnv)
    begun = session.reset(seed=3)
    session.step(SnakeAction(direction=begun.observation.legal_actions[0]))
    return session


def text_of(result: StepResult[Any] | None) -> str | None:
    return None if result is None else result.observation["text"]


async def test_a_fork_knows_what_its_parent_came_to(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [parent] = await connection.open()
        [before] = await parent.fork()
        assert (before.result, before.episode_id) == (None, None)
        begun = await parent.reset(seed=1)
        last = await parent.step({"text": "a"})
        children = await parent.fork(2)
        assert all(child.result is last for child in children)
        assert {child.episode_id for child in children} == {begun.episode_id}
        await children[0].step({"text": "b"})
        assert [text_of(one.result) for one in (parent, *children)] == ["a", "b", "a"]


async def test_a_session_that_is_restored_knows_what_it_came_to_then(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        session, other = await connection.open(2)
        first = await session.reset(seed=1)
        there = await session.step({"text": "a"})
        here, exported = await session.snapshot(), await session.snapshot(export=True)
        assert here.result is exported.result is there
        await session.reset(seed=2)
        assert session.episode_id != first.episode_id
        await session.restore(here)
        assert (session.result, session.episode_id) == (there, first.episode_id)
        await session.step({"text": "b"})
        for bare in (here.id, exported.image):
            assert bare is not None
            await session.restore(bare)
            assert (session.result, session.episode_id) == (None, first.episode_id)
            assert (await session.state())["said"] == ["a"]
        await other.restore(exported)
        assert (other.result, other.episode_id) == (there, first.episode_id)
        assert {here: 1}[here] == 1  # a key, as it ever was


async def test_one_that_is_attached_knows_its_episode(talk: Server) -> None:
    async with Connection(talk.url) as connection, Connection(talk.url) as another:
        fresh, session = await connection.open(2)
        begun = await session.reset()
        assert (await another.attach(session.id)).episode_id == begun.episode_id
        assert (await another.attach(fresh.id)).episode_id is None


async def test_forks_are_stepped_in_one_frame(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [parent] = await connection.open()
        await parent.reset(seed=1)
        await parent.step({"text": "a"})
        children = await parent.fork(3)
        async with VectorEnvClient.of(children) as vector:
            assert (vector.sessions, vector.num_envs, vector.ended) == (children, 3, [False] * 3)
            before = connection._conversation._last_id
            results = await vector.step([{"text": "b"}, {"text": "end", "end": "terminated"}, {"text": "d"}])
            assert connection._conversation._last_id == before + 1
            assert [result.observation["count"] for result in results] == [2, 2, 2]
            assert vector.ended == [False, True, False]
            results = await vector.step([{"text": "e"}, None, {"text": "f"}])
            assert [result.observation["count"] for result in results] == [3, 0, 3]
        assert text_of(await children[0].step({"text": "on"})) == "on"  # the vector has closed nothing
        assert (await parent.state())["said"] == ["a"]


async def test_what_is_restored_beside_the_vector_is_not_reset_by_it(talk: Server) -> None:
    async with Connection(talk.url) as connection:
        [session] = await connection.open()
        await session.reset()
        kept = await session.snapshot()
        await session.step({"text": "end", "end": "truncated"})
        vector = VectorEnvClient.of([session])
        assert vector.ended == [True]
        for snapshot in (kept, kept.id or ""):
            await session.restore(snapshot)
            assert vector.ended == [False]
            [result] = await vector.step([{"text": "a"}])
            assert (result.observation["text"], result.observation["count"]) == ("a", 1)


async def test_a_lost_one_of_somebody_elses_is_replaced_by_one_of_its_types(snake: Server) -> None:
    async with Connection(snake.url) as connection, Connection(snake.url) as other:
        sessions = [*await connection.open(client=SnakeEnv), *await connection.open()]
        vector: VectorEnvClient[Any, Any, Any] = VectorEnvClient.of(sessions, errors="return", reset_options={"width": 8})
        await vector.reset(seed=1)
        await (await other.attach(sessions[0].id)).close()
        await until(lambda: vector.lost)
        assert [type(one) for one in await vector.step([{"direction": "up"}] * 2)] == [SessionLost, StepResult]
        await vector.restart()
        assert vector.ended[0]
        first, second = await vector.step([None, {"direction": "up"}])
        assert isinstance(first.observation, SnakeObservation)
        assert (len(first.observation.grid[0]), type(second.observation)) == (8, dict)


async def test_what_makes_no_vector(talk: Server) -> None:
    async with Connection(talk.url) as connection, Connection(talk.url) as other:
        sessions = [*await connection.open(), *await other.open()]
        with pytest.raises(ConfigurationError, match="different connections"):
            VectorEnvClient.of(sessions)
        with pytest.raises(ConfigurationError, match="at least one session"):
            VectorEnvClient.of([])
        with pytest.raises(ConfigurationError, match="autoreset is one of"):
            VectorEnvClient.of(sessions[:1], autoreset="never")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="Entry 1 is no RemoteSession but a str") as caught:
            VectorEnvClient.of([sessions[0], sessions[0].id])  # type: ignore[list-item]
        assert "SyncVectorEnvClient.of" in (caught.value.hint or "")


def test_blocking_forks_are_stepped_on_their_connections_thread(line: SyncConnection, played: Snake) -> None:
    children = played.fork(4, reseed=[1, 2, 3, 4])
    assert all(child.result is played.result and child.episode_id == played.episode_id for child in children)
    with SyncVectorEnvClient.of(children, autoreset="disabled") as vector:
        assert played.result is not None
        results = vector.step([SnakeAction(direction=played.result.observation.heading)] * 4)
        assert [result.observation.steps for result in results] == [2] * 4
        grandchildren = vector.sessions[0].fork(2)
        assert SyncVectorEnvClient.of(grandchildren).num_envs == 2
    assert vector._thread is None
    assert [child.state().step_count for child in children] == [2] * 4
    line.close()
    for call in (lambda: vector.step([SnakeAction(direction="up")] * 4), vector.restart, children[0].state):
        with pytest.raises(SessionLost, match="the client was closed"):
            call()
    with pytest.raises(ConfigurationError, match="at least one session"):
        SyncVectorEnvClient.of([])


def test_an_environment_of_gymnasiums_goes_on_where_a_fork_is(played: Snake) -> None:
    [child] = played.fork()
    env = GymEnv(child, snake_spaces(), render_mode="ansi")
    assert played.result is not None
    assert env.render() == played.result.observation.board
    kept = child.snapshot()
    _, _, _, _, info = env.step(0)
    assert info["episode_id"] == played.episode_id
    assert child.result is not None
    assert env.render() == child.result.observation.board != played.result.observation.board
    child.restore(kept)
    assert env.render() == played.result.observation.board
    child.restore(kept.id or "")
    with pytest.raises(ResetNeeded, match="no observation to render"):
        env.render()
    assert env.step(0)[4]["episode_id"] == played.episode_id
    env.close()
    assert child.lost is None


def test_one_that_was_never_reset_asks_for_it(line: SyncConnection) -> None:
    sessions = line.open(2, client=SnakeEnv)
    env, vector = GymEnv(sessions[0], snake_spaces()), GymVectorEnv.of(sessions, snake_spaces())
    for step in (lambda: env.step(0), lambda: vector.step([0, 0])):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            step()
    with pytest.raises(ResetNeeded, match=r"Nothing was seen of \[1\] yet"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    sessions[1].reset(seed=2)
    vector.reset(seed=1, options={"reset_mask": np.array([True, False])})
    env.step(0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_vector_of_gymnasiums_over_forks_is_like_its_own(snake: Server, line: SyncConnection, mode: AutoresetMode) -> None:
    own = GymVectorEnv(snake.url, 3, snake_spaces(), client=SnakeEnv, autoreset_mode=mode, render_mode="ansi")
    parents = line.open(3, client=SnakeEnv)
    for place, parent in enumerate(parents):
        parent.reset(seed=5 + place)
    lent = GymVectorEnv.of([parent.fork()[0] for parent in parents], snake_spaces(), autoreset_mode=mode, render_mode="ansi")
    own.reset(seed=5)
    chance = np.random.default_rng(0)
    ends = 0
    try:
        for _ in range(30):
            assert lent.render() == own.render()
            actions = chance.integers(4, size=3)
            one, other = own.step(actions), lent.step(actions)
            ended = one[2] | one[3]
            ends += int(ended.sum())
            assert data_equivalence(one[:4], other[:4], exact=True)
            if mode is not AutoresetMode.SAME_STEP or not ended.any():  # else the next episode's id is in it, which is random
                assert data_equivalence(one[4], other[4], exact=True)
            if mode is AutoresetMode.DISABLED and ended.any():
                with pytest.raises(ResetNeeded, match="have ended"):
                    lent.step(actions)
                for vector in (own, lent):
                    vector.reset(seed=9, options={"reset_mask": ended})
            elif ended.any():
                break
        assert ends
    finally:
        own.close()
        lent.close()
    assert [parent.state().step_count for parent in parents] == [0] * 3


def test_a_wrong_number_of_actions(line: SyncConnection) -> None:
    sessions = line.open(2, client=SnakeEnv)
    vector = GymVectorEnv.of(sessions, snake_spaces(), autoreset_mode="Disabled")
    vector.reset(seed=1)
    for actions, told in (([0, 0, 0], "3 actions for 2"), ([0], "1 actions for 2"), (0, "one action for 2")):
        with pytest.raises(ValidationFailed, match=told) as caught:
            vector.step(actions)
        assert "one for each" in (caught.value.hint or "")
    assert [session.state().step_count for session in sessions] == [0, 0]
