"""A game as bytes and back: what `SnakeEnvironment.snapshot` gives and `SnakeEnvironment.restore` takes.

Big-endian: the header, the body's cells from head to tail as 16-bit numbers, and the CRC-32 of all before it. What is
read is checked against the rules: bytes that were made by hand cannot describe a game that cannot be played on.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final
from zlib import crc32

from snake_env.chance import SEEDS, Chance
from snake_env.game import FIRST_LENGTH, LONGEST_HUNGER, SIDES, STOP_REASONS, Game, is_path

SNAPSHOT_VERSION: Final = 1

_MAGIC: Final = b"SNAK"
_HEADER: Final = struct.Struct(">4sBBBBHHHHIQQ")
"""Magic, version, width, height, why it stopped (0: it did not), starvation limit, hunger, food, length, steps, seed, drawn."""
_CRC: Final = struct.Struct(">I")
_NO_FOOD: Final = 0xFFFF


def encode(game: Game) -> bytes:
    """The game: 40 bytes, and two for each cell of the snake."""
    stop = 0 if game.stop is None else 1 + STOP_REASONS.index(game.stop)
    food = _NO_FOOD if game.food is None else game.food
    length, chance = len(game.body), game.chance
    header = _HEADER.pack(
        _MAGIC, SNAPSHOT_VERSION, game.width, game.height, stop, game.starvation_limit, game.hunger, food, length,
        game.steps, chance.seed, chance.drawn,
    )  # fmt: skip
    image = header + struct.pack(f">{length}H", *game.body)
    return image + _CRC.pack(crc32(image))


def decode(image: bytes) -> Game:
    """The game again. Raises ``ValueError`` when the bytes are not one."""
    rest = len(image) - _HEADER.size - _CRC.size
    if rest < 0 or image[:4] != _MAGIC:
        raise ValueError("these bytes are no snapshot of a snake")
    _, version, width, height, stop, limit, hunger, food, length, steps, seed, drawn = _HEADER.unpack_from(image)
    if version != SNAPSHOT_VERSION:
        raise ValueError(f"the snapshot has version {version}; this snake reads version {SNAPSHOT_VERSION}")
    if rest != 2 * length or _CRC.unpack_from(image, len(image) - _CRC.size)[0] != crc32(image[: -_CRC.size]):
        raise ValueError("the snapshot is damaged: its length or its check sum is wrong")
    if stop > len(STOP_REASONS):
        raise ValueError(f"the snapshot's reason to stop, {stop}, is none")
    game = Game(
        width=width,
        height=height,
        starvation_limit=limit,
        chance=Chance(seed, drawn),
        body=deque(struct.unpack_from(f">{length}H", image, _HEADER.size)),
        food=None if food == _NO_FOOD else food,
        hunger=hunger,
        steps=steps,
        stop=STOP_REASONS[stop - 1] if stop else None,
    )
    wrong = _broken_rule(game)
    if wrong is not None:
        raise ValueError(f"the snapshot breaks a rule of the game: {wrong}")
    return game


def _broken_rule(game: Game) -> str | None:
    body = game.body
    if game.width not in SIDES or game.height not in SIDES:
        return "the board's size"
    if not FIRST_LENGTH <= len(body) <= game.area or len(set(body)) != len(body) or max(body) >= game.area:
        return "the snake's cells"
    if not is_path(body, game.width):
        return "the snake is torn"
    filled = len(body) == game.area
    if filled != (game.stop == "filled") or filled != (game.food is None):
        return "whether the board is filled"
    if game.food is not None and (game.food >= game.area or game.food in body):
        return "where the food is"
    if not 1 <= game.starvation_limit <= LONGEST_HUNGER or game.hunger > game.starvation_limit:
        return "its hunger"
    if (game.hunger == game.starvation_limit) != (game.stop == "starved"):
        return "its hunger and why it stopped"
    if game.steps < game.score + game.hunger or game.chance.seed >= SEEDS:
        return "its steps or its chance"
    return None
