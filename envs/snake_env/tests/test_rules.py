from __future__ import annotations

from collections import deque
from typing import Any, cast

import pytest
from pydantic import ValidationError

from openenv.errors import EpisodeOver
from snake_env.chance import Chance
from snake_env.environment import DEATH_REWARD, FILLED_BONUS, FOOD_REWARD, SnakeEnvironment
from snake_env.game import BACK, DIRECTIONS, Direction, Game
from snake_env.models import SnakeAction, SnakeObservation
from snake_env.oracle import decide


def go(world: SnakeEnvironment, *directions: Direction) -> SnakeObservation:
    """The observation after the last of these moves."""
    seen = [world.step(SnakeAction(direction=direction)) for direction in directions]
    return seen[-1]


def without_food_ahead() -> SnakeEnvironment:
    """A world in which the snake meets no food on the way right and then down along the wall."""
    world = SnakeEnvironment()
    assert world.reset(seed=7).food == (5, 0)
    return world


def test_an_episode_begins_in_the_middle() -> None:
    seen = SnakeEnvironment().reset(seed=7)
    assert (seen.head, seen.body, seen.heading) == ((5, 5), [(5, 5), (5, 4), (5, 3)], "right")
    assert (seen.length, seen.steps, seen.hunger, seen.starvation_limit) == (3, 0, 0, 200)
    assert (seen.reward, seen.done, seen.terminated, seen.truncated, seen.stop_reason) == (None, False, False, False, None)


def test_the_board_and_the_grid_show_the_same() -> None:
    world = SnakeEnvironment()
    seen = world.reset(seed=7, width=8, height=6)
    signs = ".o>*"
    for direction in ("up", "left", "left"):
        assert seen.board == "\n".join("".join(signs[cell] for cell in row) for row in seen.grid) == world.render_text()
        assert (len(seen.grid), {len(row) for row in seen.grid}) == (6, {8})
        assert seen.grid[seen.head[0]][seen.head[1]] == 2
        assert seen.food is not None
        assert seen.grid[seen.food[0]][seen.food[1]] == 3
        assert [(row, column) for row in range(6) for column in range(8) if seen.grid[row][column] in (1, 2)] == sorted(seen.body)
        seen = go(world, direction)
        signs = f".o{ {'up': '^', 'left': '<', 'down': 'v', 'right': '>'}[seen.heading] }*"


def test_everything_but_the_way_back_is_legal() -> None:
    world = without_food_ahead()
    assert go(world, "up").legal_actions == ["up", "left", "right"]
    assert go(world, "right").legal_actions == ["up", "down", "right"]


@pytest.mark.parametrize("turn", ["up", "down", "right"])
def test_the_way_back_goes_straight_on(turn: Direction) -> None:
    one, two = without_food_ahead(), without_food_ahead()
    assert go(one, turn, BACK[turn]) == go(two, turn, turn)


def test_the_wall_ends_the_episode() -> None:
    world = without_food_ahead()
    seen = go(world, "right", "right", "right", "right")
    assert (seen.reward, seen.terminated) == (0.0, False)
    before = seen.body
    seen = go(world, "right")
    assert (seen.reward, seen.terminated, seen.truncated, seen.stop_reason) == (DEATH_REWARD, True, False, "wall")
    assert (seen.legal_actions, seen.body, seen.steps) == ([], before, 5)
    assert seen.board.splitlines()[5] == "*......ooX"
    assert world.state.stop_reason == "wall"
    with pytest.raises(EpisodeOver) as refused:
        go(world, "up")
    assert "wall" in refused.value.message
    assert world.game.steps == 5
    assert world.reset().legal_actions == ["up", "down", "right"]


def test_food_makes_the_snake_longer_and_appears_elsewhere() -> None:
    world = SnakeEnvironment()
    seen = before = world.reset(seed=7)
    while seen.length == 3:
        before = seen
        seen = world.step(SnakeAction(direction=decide(seen)))
    assert (seen.reward, seen.length, seen.hunger, seen.head) == (FOOD_REWARD, 4, 0, before.food)
    assert seen.body == [before.food, *before.body]
    assert seen.food not in seen.body
    assert (world.state.score, world.state.length) == (1, 4)


def lying(*cells: int) -> SnakeEnvironment:
    """A world of 6 × 6 cells in which the snake lies there, from head to tail, and the food in the last corner."""
    world = SnakeEnvironment()
    world.game = Game(6, 6, 72, Chance(0), deque(cells), food=35)
    return world


def test_the_head_may_enter_the_cell_that_the_tail_leaves() -> None:
    world = lying(7, 6, 12, 13)
    for direction in cast("list[Direction]", ["down", "left", "up", "right"] * 5):
        assert not go(world, direction).terminated
    assert list(world.game.body) == [7, 6, 12, 13]


def test_the_snakes_own_body_ends_the_episode() -> None:
    world = lying(7, 6, 12, 13, 14)
    seen = go(world, "down")
    assert (seen.reward, seen.terminated, seen.truncated, seen.stop_reason) == (DEATH_REWARD, True, False, "self")
    assert seen.board.splitlines()[1] == "oX...."


def test_a_filled_board_ends_the_episode_with_a_bonus() -> None:
    world = SnakeEnvironment()
    seen = world.reset(seed=1, width=4, height=4)
    rewards = []
    while not (seen.terminated or seen.truncated):
        seen = world.step(SnakeAction(direction=decide(seen)))
        rewards.append(seen.reward)
    assert (seen.length, seen.food, seen.stop_reason, seen.terminated, seen.truncated) == (16, None, "filled", True, False)
    assert rewards[-1] == FOOD_REWARD + FILLED_BONUS
    assert sum(reward or 0.0 for reward in rewards) == 13 * FOOD_REWARD + FILLED_BONUS
    assert {cell for row in seen.grid for cell in row} == {1, 2}


def test_a_snake_that_does_not_eat_is_cut_off() -> None:
    world = SnakeEnvironment()
    world.reset(seed=7, starvation_limit=3)
    assert not go(world, "right", "down").truncated
    seen = go(world, "left")
    assert (seen.terminated, seen.truncated, seen.stop_reason, seen.reward) == (False, True, "starved", 0.0)
    assert (seen.hunger, seen.starvation_limit, seen.legal_actions) == (3, 3, [])
    with pytest.raises(EpisodeOver):
        go(world, "left")


@pytest.mark.parametrize("number", range(4))
def test_numbers_stand_for_directions(number: int) -> None:
    assert SnakeAction.model_validate({"direction": number}) == SnakeAction(direction=DIRECTIONS[number])


@pytest.mark.parametrize("direction", [4, -1, True, 1.0, "Up", "", None, [], "0", 10**30])
def test_other_directions_do_not_exist(direction: Any) -> None:
    with pytest.raises(ValidationError):
        SnakeAction.model_validate({"direction": direction})
