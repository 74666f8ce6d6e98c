"""The environment itself."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from openenv import Context, ToolEnvironment, tool
from openenv.environment import Execution
from openenv.errors import EpisodeOver
from openenv.tools import ToolOutcome
from openenv.types import Action, EnvironmentMetadata, Observation
from snake_env import database, render, snapshots
from snake_env.chance import SEEDS, Chance, checked_seed
from snake_env.game import DEADLY, LONGEST_HUNGER, SIDES, Direction, Game
from snake_env.models import CellPixels, SnakeAction, SnakeObservation, SnakeState

FOOD_REWARD: Final = 1.0
DEATH_REWARD: Final = -1.0
FILLED_BONUS: Final = 10.0
"""On top of the last food's reward."""

_NOBODY: Final = Context()
Side = Annotated[int, Field(ge=SIDES[0], le=SIDES[-1])]


class SnakeEnvironment(ToolEnvironment[SnakeAction, SnakeObservation, SnakeState]):
    """Snake for one player: eat, grow, and run into neither the wall nor yourself.

    Agents that call tools (JSON-RPC, MCP) have `move`, which is a step, and `look`.
    """

    execution: ClassVar[Execution] = "inline"
    snapshot_version: ClassVar[int] = snapshots.SNAPSHOT_VERSION

    def __init__(self) -> None:
        self.game = Game.begin(10, 10, None, Chance.unforeseen())
        self._reward: float | None = None
        """Of the move that a tool has made."""

    @classmethod
    def get_metadata(cls) -> EnvironmentMetadata:
        """What ``/metadata`` says."""
        return super().get_metadata().model_copy(update={"name": "snake", "version": "0.1.0"})

    def reset(
        self,
        *,
        seed: Annotated[int, Field(ge=0, lt=SEEDS)] | None = None,
        width: Side = 10,
        height: Side = 10,
        starvation_limit: Annotated[int, Field(ge=1, le=LONGEST_HUNGER)] | None = None,
        picture: CellPixels | None = None,
    ) -> SnakeObservation:
        """Begin with three cells in the middle of the board.

        Args:
            seed: Decides where food appears. Without one, chance goes on from where it is: after a reset with a seed the
                following episodes differ from each other, but are the same each time.
            width: Columns of the board.
            height: Rows of the board.
            starvation_limit: Moves without food at which the episode is cut off; two for each cell where it is not given.
            picture: Asks for a picture of the board as it is now, with so many pixels for each cell's side.
        """
        chance = self.game.chance if seed is None else Chance(seed)
        self.game = Game.begin(width, height, starvation_limit, chance)
        return self._observed(None, picture)

    def step(self, action: SnakeAction, context: Context = _NOBODY) -> SnakeObservation:
        """Move one cell, or call a tool. Raises `EpisodeOver` once the episode has ended."""
        if not isinstance(action, SnakeAction):
            return super().step(action, context)
        return self._observed(self._moved(action.direction), action.picture)

    @tool(title="Move one cell")
    def move(self, direction: Direction) -> dict[str, Any]:
        """Move the snake one cell. Food makes it longer; the wall and its own body end the game.

        Args:
            direction: Where to: any of ``legal_actions``, which are all but the way back.
        """
        self._reward = self._moved(direction)
        return self._told(self._reward)

    @tool(read_only=True, title="Look at the board")
    def look(self) -> dict[str, Any]:
        """See the board as it is; nothing moves. On it are . empty, * food, o body, and the head as ^ v < > or, dead, as X."""
        return self._told(None)

    def observe(self, outcome: ToolOutcome) -> SnakeObservation:
        """What a tool call shows is what a step shows."""
        reward, self._reward = self._reward, None
        seen = self._observed(reward)
        seen.keep(outcome)
        return seen

    def outcome_of(self, action: Action, observation: Observation) -> ToolOutcome | None:
        """What came of a tool call; None for a move that was none."""
        return observation.outcome if isinstance(observation, SnakeObservation) else None

    @property
    def state(self) -> SnakeState:
        """Where the episode stands."""
        game = self.game
        return SnakeState(
            episode_id=self.episode_id,
            step_count=self.step_count,
            score=game.score,
            length=len(game.body),
            width=game.width,
            height=game.height,
            stop_reason=game.stop,
        )

    def snapshot(self) -> bytes:
        """The game and its chance; see `snake_env.snapshots`."""
        return snapshots.encode(self.game)

    def restore(self, image: bytes) -> None:
        """Go on from a snapshot. Raises ``ValueError``, and changes nothing, when the bytes are not one."""
        self.game = snapshots.decode(image)

    def reseed(self, seed: int) -> None:
        """Let another seed decide where food appears from now on. Raises ``ValueError`` for one out of range."""
        self.game.chance = Chance(checked_seed(seed))

    def database_image(self) -> bytes:
        """What verifiers see: the table ``game``, of one row."""
        return database.image_of(self.game)

    def render_text(self) -> str:
        """The board, a line for each row."""
        return render.board_text(self._grid(), self._head())

    def render_png(self, cell: int = 16) -> bytes:
        """The board as a PNG file, with ``cell`` × ``cell`` pixels for each cell."""
        return render.png(self._grid(), cell)

    def _moved(self, direction: Direction) -> float:
        """Move, and return what that is worth."""
        game = self.game
        if game.stop is not None:
            raise EpisodeOver(f"The episode has ended ({game.stop})", hint="Reset to begin another.")
        before = game.score
        game.move(direction)
        reward = FOOD_REWARD * (game.score - before)
        if game.stop in DEADLY:
            reward += DEATH_REWARD
        elif game.stop == "filled":
            reward += FILLED_BONUS
        return reward

    def _told(self, reward: float | None) -> dict[str, Any]:
        """What a tool says: the observation of a step, with its reward and how the episode has ended."""
        told = self._observed(reward).model_dump(mode="json", exclude={"metadata", "done"})
        return {**told, "stop_reason": self.game.stop}

    def _observed(self, reward: float | None, picture: int | None = None) -> SnakeObservation:
        game = self.game
        cells = [divmod(cell, game.width) for cell in game.body]
        grid = self._grid()
        return SnakeObservation(
            board=render.board_text(grid, self._head()),
            grid=grid,
            head=cells[0],
            body=cells,
            food=None if game.food is None else divmod(game.food, game.width),
            heading=game.heading,
            legal_actions=game.legal_actions(),
            length=len(cells),
            steps=game.steps,
            hunger=game.hunger,
            starvation_limit=game.starvation_limit,
            picture=None if picture is None else render.png(grid, picture),
            reward=reward,
            terminated=game.stop is not None and game.stop != "starved",
            truncated=game.stop == "starved",
            stop_reason=game.stop,
        )

    def _head(self) -> str:
        return render.DEAD if self.game.stop in DEADLY else render.HEADS[self.game.heading]

    def _grid(self) -> list[list[int]]:
        game = self.game
        flat = [render.EMPTY] * game.area
        for cell in game.body:
            flat[cell] = render.BODY
        flat[game.body[0]] = render.HEAD
        if game.food is not None:
            flat[game.food] = render.FOOD
        return [flat[start : start + game.width] for start in range(0, game.area, game.width)]
