from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv import Snapshottable
from snake_env.environment import SnakeEnvironment
from snake_env.game import DIRECTIONS, STOP_REASONS
from snake_env.models import SnakeAction
from snake_env.oracle import decide
from snake_env.snapshots import decode, encode

seeds = st.integers(0, 2**63 - 1)
sides = st.integers(4, 12)
moves = st.lists(st.sampled_from(DIRECTIONS), max_size=60)


def played(seed: int, width: int, height: int, eaten: int) -> SnakeEnvironment:
    """A world in which the snake has eaten so often, where the oracle can play it."""
    world = SnakeEnvironment()
    seen = world.reset(seed=seed, width=width, height=height)
    while width * height % 2 == 0 and seen.length < 3 + eaten and not seen.terminated:
        seen = world.step(SnakeAction(direction=decide(seen)))
    return world


def told(world: SnakeEnvironment, actions: Sequence[str]) -> list[str]:
    """What is seen on the way, as far as the episode goes, and in the next one."""
    seen = []
    for action in actions:
        if world.game.stop is not None:
            break
        seen.append(world.step(SnakeAction.model_validate({"direction": action})).model_dump_json())
    return [*seen, world.state.model_dump_json(), world.reset().model_dump_json()]


def signed(image: bytes) -> bytes:
    """The bytes with the check sum that they need."""
    return image[:-4] + struct.pack(">I", crc32(image[:-4]))


def test_the_snake_is_snapshottable() -> None:
    assert isinstance(SnakeEnvironment(), Snapshottable)
    assert SnakeEnvironment.snapshot_version == 1


@given(seeds, sides, sides, st.integers(0, 8), moves)
def test_a_restored_world_goes_on_as_the_first_does(seed: int, width: int, height: int, eaten: int, actions: list[str]) -> None:
    world = played(seed, width, height, eaten)
    image = world.snapshot()
    copy = played(seed ^ 1, 5, 4, 1)
    copy.restore(image)
    assert copy.snapshot() == image
    assert (copy.render_text(), copy.database_image()) == (world.render_text(), world.database_image())
    assert told(copy, actions) == told(world, actions)
    world.restore(image)
    assert world.snapshot() == image


@given(seeds, seeds, st.integers(0, 8), moves)
def test_another_seed_changes_the_future_alone(seed: int, other: int, eaten: int, actions: list[str]) -> None:
    world, fork = played(seed, 10, 10, eaten), SnakeEnvironment()
    fork.restore(world.snapshot())
    fork.reseed(other)
    assert (fork.render_text(), fork.state) == (world.render_text(), world.state)
    twin = SnakeEnvironment()
    twin.restore(fork.snapshot())
    assert told(fork, actions) == told(twin, actions)


def test_forks_with_other_seeds_see_other_food() -> None:
    image = played(7, 10, 10, 2).snapshot()
    foods = set()
    for seed in range(8):
        fork = SnakeEnvironment()
        fork.restore(image)
        fork.reseed(seed)
        while (length := len(fork.game.body)) == 5:
            fork.step(SnakeAction(direction=decide(fork._observed(None))))
        assert length == 6
        foods.add(fork.game.food)
    assert len(foods) > 3


@pytest.mark.parametrize("seed", [-1, 2**63, 2**70])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    world = played(7, 10, 10, 1)
    before = world.snapshot()
    with pytest.raises(ValueError, match=r"2\*\*63"):
        world.reseed(seed)
    assert world.snapshot() == before


def test_an_ended_episode_can_be_restored() -> None:
    world = SnakeEnvironment()
    world.reset(seed=7)
    while world.game.stop is None:
        world.step(SnakeAction(direction="right"))
    copy = SnakeEnvironment()
    copy.restore(world.snapshot())
    assert copy.render_text() == world.render_text()
    assert copy.state.stop_reason == "wall"
    filled = played(1, 4, 4, 13)
    copy.restore(filled.snapshot())
    assert copy.state.stop_reason == filled.state.stop_reason == "filled"


def test_a_snapshot_is_small() -> None:
    world = played(7, 10, 10, 97)
    assert len(world.game.body) == 100
    assert len(world.snapshot()) == 240


@given(st.binary(max_size=400))
def test_bytes_that_are_no_snapshot_are_refused_and_change_nothing(image: bytes) -> None:
    world = played(7, 6, 6, 2)
    before = world.snapshot()
    for tried in (image, before[:4] + image, before[:44] + image, before + image + b"\0"):
        with pytest.raises(ValueError, match="snapshot"):
            world.restore(tried)
    assert world.snapshot() == before


@given(st.data())
def test_damage_is_noticed(data: st.DataObject) -> None:
    image = bytearray(played(7, 6, 6, 5).snapshot())
    place = data.draw(st.integers(0, len(image) - 1))
    image[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="snapshot"):
        SnakeEnvironment().restore(bytes(image))
    length = data.draw(st.integers(0, len(image) - 1))
    with pytest.raises(ValueError, match="snapshot"):
        SnakeEnvironment().restore(bytes(image[:length]))


@given(st.data())
def test_what_is_made_by_hand_is_refused_or_can_be_played(data: st.DataObject) -> None:
    image = bytearray(played(7, 6, 6, 5).snapshot())
    for _ in range(data.draw(st.integers(1, 4))):
        image[data.draw(st.integers(4, len(image) - 5))] = data.draw(st.integers(0, 255))
    world = SnakeEnvironment()
    try:
        world.restore(signed(bytes(image)))
    except ValueError:
        return
    assert world.snapshot() == signed(bytes(image))
    told(world, list(DIRECTIONS) * 3)
    world.render_png()


def test_games_that_cannot_be_are_refused() -> None:
    def refused(**changes: object) -> str:
        game = decode(played(7, 6, 6, 3).snapshot())
        for name, value in changes.items():
            setattr(game, name, value)
        with pytest.raises(ValueError, match="breaks a rule of the game: ") as error:
            decode(encode(game))
        return str(error.value).partition("game: ")[2]

    game = decode(played(7, 6, 6, 3).snapshot())
    head, second, *rest = game.body
    assert refused(width=3, height=3) == "the board's size"
    assert refused(width=33) == "the board's size"
    assert refused(body=[head, second]) == "the snake's cells"
    assert refused(body=[head, second, head, second]) == "the snake's cells"
    assert refused(body=[head, second, *rest[:-1], 999]) == "the snake's cells"
    assert refused(body=[second, head, *rest]) == "the snake is torn"
    assert refused(stop="filled") == "whether the board is filled"
    assert refused(food=None) == "whether the board is filled"
    assert refused(food=head) == "where the food is"
    assert refused(food=36) == "where the food is"
    assert refused(hunger=73) == "its hunger"
    assert refused(starvation_limit=0) == "its hunger"
    assert refused(stop="starved") == "its hunger and why it stopped"
    assert refused(hunger=72) == "its hunger and why it stopped"
    assert refused(steps=2) == "its steps or its chance"
    assert STOP_REASONS == ("wall", "self", "filled", "starved")
    image = bytearray(encode(game))
    image[7] = 5
    with pytest.raises(ValueError, match="reason to stop, 5"):
        decode(signed(bytes(image)))
    image[4] = 2
    with pytest.raises(ValueError, match="version 2; this snake reads version 1"):
        decode(bytes(image))
