from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from snake_env.chance import Chance
from snake_env.environment import SnakeEnvironment
from snake_env.models import SnakeAction
from snake_env.oracle import decide


def played(world: SnakeEnvironment, seed: int | None, moves: int = 150) -> list[str]:
    """What the oracle sees in an episode, as JSON."""
    seen = world.reset(seed=seed)
    told = [seen.model_dump_json()]
    for _ in range(moves):
        seen = world.step(SnakeAction(direction=decide(seen)))
        told.append(seen.model_dump_json())
    return told


def test_the_same_seed_gives_the_same_episode_whatever_was_before() -> None:
    one, two = SnakeEnvironment(), SnakeEnvironment()
    played(two, 5)
    assert played(one, 7) == played(two, 7)
    assert played(one, 7) != played(one, 8)


def test_a_reset_without_a_seed_goes_on_with_the_same_chance() -> None:
    one, two = SnakeEnvironment(), SnakeEnvironment()
    episodes = [played(one, 7), played(one, None), played(one, None)]
    assert episodes == [played(two, 7), played(two, None), played(two, None)]
    assert len({tuple(episode) for episode in episodes}) == 3


def test_worlds_that_were_never_seeded_differ() -> None:
    assert len({tuple(played(SnakeEnvironment(), None, moves=60)) for _ in range(3)}) == 3


def test_another_process_makes_the_same_episode() -> None:
    program = "from snake_env.environment import SnakeEnvironment as S; print(S().reset(seed=2**63 - 1).board)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == SnakeEnvironment().reset(seed=2**63 - 1).board


def test_the_first_foods_are_the_ones_that_they_always_were() -> None:
    assert [SnakeEnvironment().reset(seed=seed).food for seed in (0, 1, 7)] == [(8, 8), (7, 5), (5, 0)]


def test_every_number_below_the_limit_is_as_likely() -> None:
    chance = Chance(3)
    counted = Counter(chance.below(10) for _ in range(20_000))
    assert sorted(counted) == list(range(10))
    assert all(1_800 < count < 2_200 for count in counted.values())
    assert chance.drawn == 20_000


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_neighbouring_seeds_share_nothing(seed: int) -> None:
    streams = [[Chance(one, drawn).below(2**32) for drawn in range(50)] for one in (seed, seed ^ 1)]
    assert len(set(streams[0]) & set(streams[1])) == 0
