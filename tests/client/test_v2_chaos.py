"""A thousand episodes over a line that is cut, stalled and delayed end as they do over a good one, and no step happens twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from openenv.client import Connection, RemoteSession, VectorEnvClient
from openenv.types import StepResult
from snake_env.client import SnakeEnv
from snake_env.game import Direction
from snake_env.models import SnakeAction, SnakeObservation
from tests.support.chaos import Trouble, chaos
from tests.support.processes import Server, Servers

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
BOARD = {"width": 5, "height": 5, "starvation_limit": 12}
MOVES: dict[Direction, tuple[int, int]] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
LINE: dict[str, Any] = {"ping_interval_s": 0.3, "ping_timeout_s": 0.3, "resume_within_s": 60.0, "connect_timeout_s": 2.0}


@dataclass
class Episode:
    """All that came of one."""

    observations: list[SnakeObservation] = field(default_factory=list)
    rewards: list[Any] = field(default_factory=list)
    endings: list[Any] = field(default_factory=list)
    state: Any = None

    def took(self, result: StepResult[SnakeObservation]) -> None:
        self.observations.append(result.observation)
        self.rewards.append(result.reward)
        self.endings.append((result.done, result.terminated, result.truncated, result.stop_reason))

    @property
    def steps(self) -> int:
        return len(self.rewards) - 1


@dataclass
class Line:
    """Where to connect, and what happened there."""

    url: str
    resumes: int = 0
    repeats: int = 0

    def left(self, connection: Connection) -> None:
        conversation = connection._conversation
        assert conversation.pending == {}
        assert conversation._slots._value == conversation.limits.in_flight
        assert {seat.slots._value for seat in conversation.seats.values()} == {conversation.limits.per_session}
        self.resumes += connection.resumes
        self.repeats += connection.repeats


def policy(observation: SnakeObservation) -> SnakeAction:
    """Depends on all that is seen, and mostly lives for a while."""
    body, (row, column) = observation.body, observation.head
    cells: dict[Direction, tuple[int, int]] = {name: (row + down, column + right) for name, (down, right) in MOVES.items()}
    inside: list[Direction] = [name for name, (r, c) in cells.items() if 0 <= r < BOARD["height"] and 0 <= c < BOARD["width"]]
    safe: list[Direction] = [name for name in inside if cells[name] not in body] or observation.legal_actions
    food = observation.food or (0, 0)
    return SnakeAction(direction=safe[(row + column + food[0] * 3 + food[1] + observation.hunger) % len(safe)])


async def play(session: RemoteSession[Any, SnakeObservation, Any] | SnakeEnv, seed: int) -> Episode:
    episode = Episode()
    result = await session.reset(seed=seed, **BOARD)
    episode.took(result)
    while not result.done:
        result = await session.step(policy(result.observation))
        episode.took(result)
    episode.state = await session.state()
    return episode


async def by_connection(line: Line) -> dict[str, Episode]:
    """20 sessions on one connection, each played by a coroutine: 400 episodes."""
    episodes: dict[str, Episode] = {}
    async with Connection(line.url, **LINE) as connection:
        sessions = await connection.open(20, client=SnakeEnv)

        async def work(number: int) -> None:
            for round_ in range(20):
                seed = 1000 * number + round_
                episodes[f"connection {seed}"] = await play(sessions[number], seed)

        await asyncio.gather(*map(work, range(20)))
        line.left(connection)
    return episodes


async def by_clients(line: Line) -> dict[str, Episode]:
    """8 clients of one session each: 200 episodes."""
    episodes: dict[str, Episode] = {}

    async def work(number: int) -> None:
        client = SnakeEnv(line.url, protocol="v2", websocket_ping_interval_s=0.3, websocket_ping_timeout_s=0.3)
        async with client:
            for round_ in range(25):
                seed = 5000 + 1000 * number + round_
                episodes[f"client {seed}"] = await play(client, seed)
            assert client._v2 is not None
            line.left(client._v2.connection)

    await asyncio.gather(*map(work, range(8)))
    return episodes


async def by_vector(line: Line) -> dict[str, Episode]:
    """40 environments stepped as one, with autoreset, until each has ended 10 episodes: 400."""
    episodes: dict[str, Episode] = {}
    async with VectorEnvClient(line.url, 40, client=SnakeEnv, reset_options=BOARD, **LINE) as vector:
        results = await vector.reset(seed=90_000)
        running = [Episode() for _ in results]
        rounds = [0] * 40
        for episode, result in zip(running, results, strict=True):
            episode.took(result)
        while min(rounds) < 10:
            actions = [policy(one.observation) if not one.done else SnakeAction(direction="up") for one in results]
            begins = vector.ended
            results = await vector.step(actions)
            for place, result in enumerate(results):
                if begins[place]:
                    running[place] = Episode()
                running[place].took(result)
                if result.done:
                    if rounds[place] < 10:
                        episodes[f"vector {place} {rounds[place]}"] = running[place]
                    rounds[place] += 1
        line.left(vector.connection)
    return episodes


PLAYERS: list[Callable[[Line], Awaitable[dict[str, Episode]]]] = [by_connection, by_clients, by_vector]


def steps_of(server: Server) -> int:
    """The server's own count."""
    with urlopen(f"{server.url}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(int(float(value)) for value in re.findall(r"^openenv_steps_total(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE))


async def all_of(line: Line) -> dict[str, Episode]:
    played = await asyncio.gather(*(player(line) for player in PLAYERS))
    return {name: episode for one in played for name, episode in one.items()}


@pytest.mark.timeout(240)
async def test_a_thousand_episodes_over_a_bad_line_are_those_over_a_good_one(serve: Servers) -> None:
    server = serve("snake", "--log-level", "error")
    undisturbed = await all_of(Line(server.url))
    assert len(undisturbed) == 1000
    assert sum(episode.steps for episode in undisturbed.values()) > 5000
    taken = steps_of(server)
    with chaos(server.port, Trouble(seed=11, mean_bytes=45_000, least_bytes=2000, stalls=0.06)) as proxy:
        line = Line(proxy.url)
        disturbed = await all_of(line)
        told = f"{proxy.connections} connections, {proxy.cuts} cut, {proxy.stalls} stalled; {line}"
    assert disturbed.keys() == undisturbed.keys()
    for name, episode in undisturbed.items():
        assert disturbed[name] == episode, name
    for episode in disturbed.values():
        if episode.state is not None:
            assert episode.state.step_count == episode.steps
    assert steps_of(server) == 2 * taken, told
    # And it was a bad line: connections ended in the middle of steps, and others fell silent.
    assert proxy.cuts > 100, told
    assert proxy.stalls > 0, told
    assert line.resumes > 100, told
    assert line.repeats > 300, told


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_opened_and_forked_is_not_there_twice(serve: Servers, seed: int) -> None:
    """A server of ten places is filled to the last one, again and again: what is made twice would not fit."""
    server = serve("v2_toys:tight_app", cwd=HERE)
    with chaos(server.port, Trouble(seed=seed, mean_bytes=4000, stalls=0.0)) as proxy:
        proxy.calm = True
        connection = await Connection(proxy.url, **LINE).connect()
        proxy.calm = False
        proxy.cut_all()
        while proxy.cuts < 10 or not connection.repeats:
            [parent] = await connection.open()
            await parent.reset()
            await parent.step({"text": "a"})
            children = await parent.fork(9)
            assert [(await child.state())["said"] for child in children] == [["a"]] * 9
            await asyncio.gather(*(session.close() for session in (parent, *children)))
        proxy.calm = True
        await connection.close()
