"""The snake for Gymnasium: ``pip install "openenv[gymnasium]"``.

An observation is the grid, ``Box(0, 3, (height, width), uint8)``, an action one of ``Discrete(4)``: up, down, left, right.
``info["action_mask"]`` is 1 for every direction but the way back, as ``action_space.sample(mask)`` takes it.

A space has one shape, so the board's size is chosen when the environment is made; `make` and `make_vec` send it with every
reset. An observation of a board of another size raises `ConfigurationError`.
"""

from __future__ import annotations

from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium import spaces

from openenv.client.gymnasium import GymEnv, GymVectorEnv, Spaces
from openenv.errors import ConfigurationError
from snake_env import render
from snake_env.client import SnakeEnv
from snake_env.game import DIRECTIONS
from snake_env.models import SnakeAction, SnakeObservation

__all__ = ["ENV_ID", "action_mask", "make", "make_vec", "register", "snake_spaces"]

ENV_ID: Final = "openenv/Snake-v0"


def snake_spaces(width: int = 10, height: int = 10, *, mask: bool = False) -> Spaces:
    """Spaces for a board of this size; with ``mask`` an observation is ``{"grid": …, "action_mask": …}``.

    Whoever does not use `make` sends ``{"width": width, "height": height}`` as ``reset_options``.
    """
    grid: spaces.Space[Any] = spaces.Box(0, 3, (height, width), np.uint8)

    def decode(observation: SnakeObservation) -> Any:
        cells = np.array(observation.grid, np.uint8)
        if cells.shape != (height, width):
            raise _another_size(cells.shape, width, height)
        return {"grid": cells, "action_mask": action_mask(observation)} if mask else cells

    seen = spaces.Dict({"grid": grid, "action_mask": spaces.MultiBinary(len(DIRECTIONS))}) if mask else grid
    return Spaces(
        action_space=spaces.Discrete(len(DIRECTIONS)),
        observation_space=seen,
        encode=lambda direction: SnakeAction(direction=DIRECTIONS[int(direction)]),
        decode=decode,
        info=lambda observation: {"action_mask": action_mask(observation)},
        render={"ansi": lambda observation: observation.board, "rgb_array": _picture},
        render_fps=8,
    )


def action_mask(observation: SnakeObservation) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """For each direction 1 or 0: whether it is legal."""
    return np.array([direction in observation.legal_actions for direction in DIRECTIONS], np.int8)


def make(
    base_url: str,
    *,
    width: int = 10,
    height: int = 10,
    mask: bool = False,
    starvation_limit: int | None = None,
    render_mode: str | None = None,
    **connection: Any,
) -> GymEnv:
    """A ``gymnasium.Env`` over a server of snakes; ``connection`` are the arguments of `openenv.client.Connection`."""
    return GymEnv(
        base_url,
        snake_spaces(width, height, mask=mask),
        client=SnakeEnv,
        render_mode=render_mode,
        reset_options=_options(width, height, starvation_limit),
        **connection,
    )


def make_vec(
    base_url: str,
    num_envs: int = 1,
    *,
    width: int = 10,
    height: int = 10,
    mask: bool = False,
    starvation_limit: int | None = None,
    render_mode: str | None = None,
    **more: Any,
) -> GymVectorEnv:
    """A ``gymnasium.vector.VectorEnv`` of snakes; ``more`` are `GymVectorEnv`'s arguments, such as ``autoreset_mode``."""
    return GymVectorEnv(
        base_url,
        num_envs,
        snake_spaces(width, height, mask=mask),
        client=SnakeEnv,
        render_mode=render_mode,
        reset_options=_options(width, height, starvation_limit),
        **more,
    )


def register(env_id: str = ENV_ID) -> str:
    """Let ``gymnasium.make(env_id, base_url=…)`` and ``gymnasium.make_vec`` find the snake; returns the id."""
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, entry_point=f"{__name__}:make", vector_entry_point=f"{__name__}:make_vec")
    return env_id


def _options(width: int, height: int, starvation_limit: int | None) -> dict[str, Any]:
    limit = {} if starvation_limit is None else {"starvation_limit": starvation_limit}
    return {"width": width, "height": height, **limit}


def _another_size(shape: tuple[int, ...], width: int, height: int) -> ConfigurationError:
    columns, rows = shape[1], shape[0]
    return ConfigurationError(
        f"the board has {columns} × {rows} cells, and the observation space {width} × {height}",
        field="width" if columns != width else "height",
        hint=f"Make the environment with width={columns}, height={rows}, and leave the size out of a reset's options.",
    )


def _picture(observation: SnakeObservation) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    cell = 16
    shape = (len(observation.grid) * cell, len(observation.grid[0]) * cell, 3)
    return np.frombuffer(bytearray(render.rgb(observation.grid, cell)), np.uint8).reshape(shape)
