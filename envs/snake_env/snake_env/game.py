"""The rules. A cell is one number here: ``row * width + column``.

The snake begins with three cells in the middle of the board and looks to the right. A move takes the head one cell on.
Food makes the snake one cell longer; without food the tail leaves its cell in the same moment, so that the head may
enter it. The wall and the snake's own body end the episode, and so does a board without a free cell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from snake_env.chance import Chance

Direction = Literal["up", "down", "left", "right"]
StopReason = Literal["wall", "self", "filled", "starved"]

DIRECTIONS: Final[tuple[Direction, ...]] = ("up", "down", "left", "right")
"""In the order of their numbers."""
BACK: Final[dict[Direction, Direction]] = {"up": "down", "down": "up", "left": "right", "right": "left"}
STOP_REASONS: Final[tuple[StopReason, ...]] = ("wall", "self", "filled", "starved")
DEADLY: Final = ("wall", "self")
SIDES: Final = range(4, 33)
"""How wide and how high a board may be, in cells."""
LONGEST_HUNGER: Final = 10_000
FIRST_LENGTH: Final = 3


@dataclass(slots=True)
class Game:
    """One episode and the chance that its food comes from."""

    width: int
    height: int
    starvation_limit: int
    chance: Chance
    body: deque[int]
    """From head to tail; never fewer than `FIRST_LENGTH` cells, each beside the one before."""
    food: int | None = None
    hunger: int = 0
    steps: int = 0
    stop: StopReason | None = None

    @classmethod
    def begin(cls, width: int, height: int, starvation_limit: int | None, chance: Chance) -> Game:
        """A new episode; without a limit, hunger is bounded by two moves for each cell of the board."""
        middle = height // 2 * width + width // 2
        limit = starvation_limit or 2 * width * height
        game = cls(width, height, limit, chance, deque(range(middle, middle - FIRST_LENGTH, -1)))
        game._place_food()
        return game

    @property
    def area(self) -> int:
        """How many cells the board has."""
        return self.width * self.height

    @property
    def score(self) -> int:
        """How much was eaten."""
        return len(self.body) - FIRST_LENGTH

    @property
    def heading(self) -> Direction:
        """From the second cell to the head."""
        return direction_between(self.body[1], self.body[0], self.width)

    def legal_actions(self) -> list[Direction]:
        """Every direction but the way back, also one that ends in a wall; none once the episode is over."""
        if self.stop is not None:
            return []
        back = BACK[self.heading]
        return [direction for direction in DIRECTIONS if direction != back]

    def move(self, direction: Direction) -> None:
        """Move on; the way back is no move, and the snake goes straight on instead."""
        heading = self.heading
        target = neighbour(self.body[0], heading if direction == BACK[heading] else direction, self.width, self.height)
        self.steps += 1
        if target is None:
            self.stop = "wall"
        elif target == self.food:
            self.body.appendleft(target)
            self.hunger = 0
            self._place_food()
        elif target in self.body and target != self.body[-1]:
            self.stop = "self"
        else:
            self.body.pop()
            self.body.appendleft(target)
            self.hunger += 1
            if self.hunger >= self.starvation_limit:
                self.stop = "starved"

    def _place_food(self) -> None:
        """On a free cell; where there is none, the board is filled."""
        taken = set(self.body)
        free = [cell for cell in range(self.area) if cell not in taken]
        if free:
            self.food = free[self.chance.below(len(free))]
        else:
            self.food, self.stop = None, "filled"


def neighbour(cell: int, direction: Direction, width: int, height: int) -> int | None:
    """The next cell in a direction; ``None`` where the wall is."""
    if direction == "up":
        return cell - width if cell >= width else None
    if direction == "down":
        return cell + width if cell < width * (height - 1) else None
    if direction == "left":
        return cell - 1 if cell % width else None
    return cell + 1 if (cell + 1) % width else None


def direction_between(start: int, end: int, width: int) -> Direction:
    """The direction from a cell to one beside it. Raises ``ValueError`` where they are not beside each other."""
    row, column = divmod(start, width)
    try:
        return _DIRECTION_OF[end // width - row, end % width - column]
    except KeyError:
        raise ValueError(f"cells {start} and {end} are not beside each other") from None


def is_path(cells: Iterable[int], width: int) -> bool:
    """Whether each cell lies beside the one before."""
    return all((b // width - a // width, b % width - a % width) in _DIRECTION_OF for a, b in pairwise(cells))


_DIRECTION_OF: Final[dict[tuple[int, int], Direction]] = {(-1, 0): "up", (1, 0): "down", (0, -1): "left", (0, 1): "right"}
