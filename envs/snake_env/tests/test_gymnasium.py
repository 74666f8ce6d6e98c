"""The snake as Gymnasium knows it: its own checks, and the same games as in this process."""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from openenv.client.gymnasium import GymVectorEnv
from openenv.errors import ConfigurationError
from snake_env.client import SnakeEnv
from snake_env.environment import SnakeEnvironment
from snake_env.game import DIRECTIONS
from snake_env.gymnasium import action_mask, make, make_vec, register, snake_spaces
from snake_env.models import SnakeAction


class Server(Protocol):
    url: str


class LocalSnake(gymnasium.Env[Any, Any]):
    """The same snake without a server, as anybody would write it."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.world = SnakeEnvironment()
        self.action_space = gymnasium.spaces.Discrete(4)
        self.observation_space = gymnasium.spaces.Box(0, 3, (options["height"], options["width"]), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        seen = self.world.reset(seed=seed, **self.options)
        return np.array(seen.grid, np.uint8), {"action_mask": action_mask(seen)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen = self.world.step(SnakeAction(direction=DIRECTIONS[action]))
        info = {"action_mask": action_mask(seen), **({"stop_reason": seen.stop_reason} if seen.stop_reason else {})}
        assert seen.reward is not None
        return np.array(seen.grid, np.uint8), float(seen.reward), seen.terminated, seen.truncated, info


@pytest.fixture(scope="module")
def server(module_serve: Any) -> Server:
    started: Server = module_serve("snake")
    return started


@pytest.mark.parametrize("options", [{}, {"mask": True, "render_mode": "ansi"}, {"width": 4, "height": 6, "encoding": "json"}])
def test_gymnasiums_own_check_passes(server: Server, options: dict[str, Any]) -> None:
    env = gymnasium.make(register(), base_url=server.url, **options)
    try:
        check_env(env.unwrapped)  # a warning of it would be an error
    finally:
        env.close()


def same(ours: Any, theirs: Any, *but: str) -> None:
    """Whether two values are the same to the type, without the keys ``but`` of dicts."""
    if isinstance(theirs, dict):
        assert ours.keys() - set(but) == theirs.keys() - set(but)
        for key in theirs.keys() - set(but):
            same(ours[key], theirs[key], *but)
    elif isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if theirs.dtype == object:
            for one, other in zip(ours, theirs, strict=True):
                same(one, other, *but)
        else:
            np.testing.assert_array_equal(ours, theirs)
    elif isinstance(theirs, tuple):
        for one, other in zip(ours, theirs, strict=True):
            same(one, other, *but)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs


SMALL: dict[str, Any] = {"width": 5, "height": 4, "starvation_limit": 6}
ONLY_SERVED = ("episode_id", "_episode_id")


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("mask", [False, True])
def test_the_vector_plays_as_gymnasiums_own_over_the_same_seeds(server: Server, mode: AutoresetMode, mask: bool) -> None:
    count = 4
    sevens: list[int | None] = [7] * count
    ours = make_vec(server.url, count, autoreset_mode=mode, mask=mask, **SMALL)
    others = [SyncVectorEnv([lambda: make(server.url, mask=mask, **SMALL)] * count, autoreset_mode=mode)]
    if not mask:
        others.append(SyncVectorEnv([lambda: LocalSnake(**SMALL)] * count, autoreset_mode=mode))
    assert ours.metadata["autoreset_mode"] is mode
    assert [ours.action_space, ours.observation_space] == [others[0].action_space, others[0].observation_space]
    try:
        begun = ours.reset(seed=11)
        for other in others:
            same(begun, other.reset(seed=11), *ONLY_SERVED)
        ours.action_space.seed(3)
        endings = {"terminated": 0, "truncated": 0}
        for _ in range(200):
            actions = ours.action_space.sample()
            got = ours.step(actions)
            endings["terminated"] += got[2].sum()
            endings["truncated"] += got[3].sum()
            for other in others:
                same(got, other.step(actions), *ONLY_SERVED)
            ended = got[2] | got[3]
            if mode is AutoresetMode.DISABLED and ended.any():
                again = ours.reset(seed=sevens, options={"reset_mask": ended})
                for other in others:
                    same(again, other.reset(seed=sevens, options={"reset_mask": ended}), *ONLY_SERVED)
        assert min(endings.values()) > 5, "both kinds of endings were seen"
    finally:
        ours.close()
        for other in others:
            other.close()


def test_the_mask_is_what_gymnasium_samples_by(server: Server) -> None:
    env = make(server.url)
    try:
        _, info = env.reset(seed=7)
        assert info["action_mask"].tolist() == [1, 1, 0, 1]
        env.action_space.seed(1)
        assert {int(env.action_space.sample(info["action_mask"])) for _ in range(50)} == {0, 1, 3}
        *_, terminated, _, info = [env.step(3) for _ in range(5)][-1]
        assert (terminated, info["stop_reason"], info["action_mask"].tolist()) == (True, "wall", [0, 0, 0, 0])
    finally:
        env.close()


def test_it_is_rendered_as_text_and_as_pixels(server: Server) -> None:
    world = SnakeEnvironment()
    seen = world.reset(seed=7)
    for mode, wanted in (("ansi", seen.board), ("rgb_array", snake_spaces().render["rgb_array"](seen))):
        env, vector = make(server.url, render_mode=mode), make_vec(server.url, 2, render_mode=mode)
        try:
            env.reset(seed=7)
            vector.reset(seed=7)
            frames = vector.render()
            assert frames is not None
            same(env.render(), wanted)
            same(frames[0], wanted)
            assert len(frames) == 2
        finally:
            env.close()
            vector.close()
    assert env.metadata["render_modes"] == ["ansi", "rgb_array"]
    with pytest.raises(ConfigurationError, match="render_mode is one of ansi, rgb_array, not 'human'"):
        make(server.url, render_mode="human")


def test_another_size_than_the_spaces_is_refused(server: Server) -> None:
    env, vector = make(server.url, width=6, mask=True), make_vec(server.url, 2, width=6)
    bare = GymVectorEnv(server.url, 2, snake_spaces(8, 8), client=SnakeEnv)
    try:
        for one in (env, vector):
            with pytest.raises(ConfigurationError, match="6 × 5 cells, and the observation space 6 × 10") as refused:
                one.reset(seed=7, options={"height": 5})
            assert refused.value.field == "height"
            assert "width=6, height=5" in (refused.value.hint or "")
            one.reset(seed=7, options={"starvation_limit": 9})
        assert env.step(0)[0]["grid"].shape == (10, 6)
        assert vector.step([0, 0])[0].shape == (2, 10, 6)
        with pytest.raises(ConfigurationError, match="10 × 10 cells, and the observation space 8 × 8"):
            bare.reset(seed=7)
    finally:
        env.close()
        vector.close()
        bare.close()


def test_gymnasium_makes_it_by_its_name(server: Server) -> None:
    register()
    vector = gymnasium.make_vec(register(), 3, base_url=server.url, width=6)
    try:
        observations, _ = vector.reset(seed=1)
        assert observations.shape == (3, 10, 6)
        assert type(vector).__name__ == "GymVectorEnv"
    finally:
        vector.close()
