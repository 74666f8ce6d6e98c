from __future__ import annotations

import pytest

from snake_env.environment import SnakeEnvironment
from snake_env.game import Direction
from snake_env.models import SnakeAction, SnakeObservation
from snake_env.oracle import decide, noop


def end(seed: int, length: int, width: int = 10, height: int = 10) -> SnakeObservation:
    """The last observation of the oracle's episode, which is left when the snake has that length."""
    world = SnakeEnvironment()
    seen = world.reset(seed=seed, width=width, height=height)
    while seen.length < length and not (seen.terminated or seen.truncated):
        direction = decide(seen)
        assert direction in seen.legal_actions
        seen = world.step(SnakeAction(direction=direction))
    return seen


def test_the_oracle_fills_half_of_the_board_on_all_of_a_hundred_seeds() -> None:
    ends = [end(seed, 50) for seed in range(100)]
    assert [seen.length for seen in ends] == [50] * 100
    assert max(seen.steps for seen in ends) <= 1000


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_fills_the_board(seed: int) -> None:
    assert end(seed, 100).stop_reason == "filled"


SIZES = [(4, 4), (5, 4), (4, 5), (6, 6), (4, 6), (6, 4), (7, 6), (6, 7), (9, 8), (8, 9), (12, 4), (4, 12), (4, 11)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_oracle_fills_boards_of_other_sizes(width: int, height: int) -> None:
    for seed in range(10):
        assert end(seed, width * height, width, height).stop_reason == "filled"


def test_boards_without_a_closed_path_are_refused() -> None:
    with pytest.raises(ValueError, match="5 × 7: one side must be even"):
        end(0, 35, 5, 7)


def test_the_oracle_finds_onto_its_path() -> None:
    """On a board on which it lies across its path in the beginning, it still finds its way."""
    for height in range(4, 12, 2):
        for width in range(4, 12):
            assert end(3, 8, width, height).length == 8


def test_the_no_op_runs_into_the_wall() -> None:
    for seed in range(100):
        world = SnakeEnvironment()
        seen = world.reset(seed=seed)
        while not seen.terminated:
            direction: Direction = noop(seen)
            assert direction in seen.legal_actions
            seen = world.step(SnakeAction(direction=direction))
        assert (seen.stop_reason, seen.steps) == ("wall", 5)
        assert seen.length < 6
