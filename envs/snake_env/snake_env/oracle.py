"""Policies that mark the ends of the scale: one that fills the board, and one that does nothing.

Each is a function of an observation alone. The oracle follows a closed path through all cells and takes a short cut
wherever it lands between head and tail: the snake then always lies on the path in the path's order, with the way ahead
of it free, so that it never runs into itself.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from snake_env.game import DIRECTIONS, Direction, neighbour
from snake_env.models import SnakeObservation


def decide(observation: SnakeObservation) -> Direction:
    """Where the oracle goes; the episode must not be over.

    Raises ``ValueError`` for a board with an odd number of cells: no closed path goes through all of them.
    """
    height, width = len(observation.grid), len(observation.grid[0])
    area, place = width * height, _places(width, height)
    cells = [row * width + column for row, column in observation.body]
    after_head = place[cells[0]] + 1
    # How many cells further on the path each cell of the snake is; the head's own counts as a whole round.
    ahead = [(place[cell] - after_head) % area + 1 for cell in cells]
    reach = ahead[-1]
    if observation.food is not None:
        row, column = observation.food
        reach = min(reach, (place[row * width + column] - after_head) % area + 1)
    if any(one < next_one for one, next_one in pairwise(ahead)):
        reach = 0  # The snake still lies across the path, as it may in the beginning: no short cuts.
    taken = set(cells[:-1])
    best, best_rank = observation.heading, (False, -area)
    for direction in DIRECTIONS:
        cell = neighbour(cells[0], direction, width, height)
        if cell is None or cell in taken:
            continue
        gain = (place[cell] - after_head) % area + 1
        safe = gain == 1 or gain <= reach
        rank = (safe, gain if safe else -gain)
        if rank > best_rank:
            best, best_rank = direction, rank
    return best


def noop(observation: SnakeObservation) -> Direction:
    """Straight on, into the wall."""
    return observation.heading


@lru_cache(maxsize=32)
def _places(width: int, height: int) -> tuple[int, ...]:
    """For each cell, its place on a closed path through all of them.

    Lines run to and fro, and the first cell of each is left for the way back. They are rows where the number of rows is
    even, else columns; the line in which a snake begins runs as it looks.
    """
    if height % 2 and width % 2:
        raise ValueError(f"no closed path goes through all cells of a board of {width} × {height}: one side must be even")
    rows = height % 2 == 0
    lines, long = (height, width) if rows else (width, height)
    path = [(line, step if line % 2 == 0 else long - step) for line in range(lines) for step in range(1, long)]
    path += [(line, 0) for line in reversed(range(lines))]
    if rows and height // 2 % 2:
        path.reverse()
    place = [0] * (width * height)
    for number, (line, step) in enumerate(path):
        place[line * width + step if rows else step * width + line] = number
    return tuple(place)
