"""What passes between an agent and the snake. A cell is ``(row, column)``, counted from the upper left corner at 0."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from openenv import Action, Observation, State
from openenv.tools import ToolOutcome
from openenv.types import Binary
from snake_env.game import DIRECTIONS, Direction, StopReason

Cell = tuple[int, int]
CellPixels = Annotated[int, Field(ge=1, le=64)]


def _named(value: Any) -> Any:
    """The direction that a number stands for; whatever else it is, as it is."""
    if type(value) is int and 0 <= value < len(DIRECTIONS):
        return DIRECTIONS[value]
    return value


def _is_none(value: Any) -> bool:
    return value is None


class SnakeAction(Action):
    """Move one cell. The numbers 0 to 3 stand for up, down, left and right."""

    direction: Annotated[Direction, BeforeValidator(_named, json_schema_input_type=Direction | Literal[0, 1, 2, 3])] = Field(
        description="up, down, left or right; or 0, 1, 2, 3 in this order"
    )
    picture: CellPixels | None = Field(default=None, description="Asks for a picture, with so many pixels for each cell's side")


class SnakeObservation(Observation):
    """The board, as text and as numbers, and what may be done."""

    board: str = Field(description="A line for each row: . empty, * food, o body, and the head as ^ v < > or, dead, as X")
    grid: list[list[int]] = Field(description="grid[row][column]: 0 empty, 1 body, 2 head, 3 food")
    head: Cell = Field(description="Row and column of the head")
    body: list[Cell] = Field(description="All cells of the snake, from head to tail")
    food: Cell | None = Field(description="Where the food is; null on a board that is filled")
    heading: Direction = Field(description="Where the head looks")
    legal_actions: list[Direction] = Field(description="All directions but the way back; none once the episode is over")
    length: int = Field(ge=0, description="How many cells the snake has")
    steps: int = Field(ge=0, description="Moves of this episode")
    hunger: int = Field(ge=0, description="Moves since the last food")
    starvation_limit: int = Field(ge=1, description="The hunger at which the episode is cut off")
    picture: Binary | None = Field(
        default=None, exclude_if=_is_none, description="The board as a PNG file, where the action or the reset asked for it"
    )
    _outcome: ToolOutcome | None = PrivateAttr(default=None)

    @property
    def outcome(self) -> ToolOutcome | None:
        """What came of the tool call that this was; it does not travel."""
        return self._outcome

    def keep(self, outcome: ToolOutcome) -> None:
        """Remember the outcome of a tool call."""
        self._outcome = outcome


class SnakeState(State):
    """Where the episode stands."""

    score: int = Field(default=0, ge=0, description="Food eaten in this episode")
    length: int = Field(default=0, ge=0, description="How many cells the snake has")
    width: int = Field(default=0, ge=0, description="Columns of the board")
    height: int = Field(default=0, ge=0, description="Rows of the board")
    stop_reason: StopReason | None = Field(default=None, description="Why the episode is over: wall, self, filled, starved")
