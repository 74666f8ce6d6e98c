"""How the actions and observations of an environment are values of Gymnasium's spaces, and what is told beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from openenv.errors import ConfigurationError
from openenv.types import StepResult

__all__ = ["Spaces", "ending_of", "info_of", "reward_of"]


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """Two spaces, and the functions between them and what travels.

    Args:
        action_space: Of one environment.
        observation_space: Of one environment.
        encode: The action to send, a model or a mapping, for a value of the action space.
        decode: The value of the observation space for an observation: of the client's type where there is one, else a
            dict. A new object each time, as Gymnasium asks.
        info: What of an observation belongs into ``info``, such as ``{"action_mask": …}``.
        render: By render mode, what a picture of an observation is: a text for ``"ansi"``, for ``"rgb_array"`` a uint8
            array of height × width × 3.
        render_fps: Pictures for each second, as ``metadata`` says.
    """

    action_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    info: Callable[[Any], Mapping[str, Any]] | None = None
    render: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    render_fps: float = 4.0

    def metadata(self) -> dict[str, Any]:
        """What Gymnasium's ``metadata`` says of rendering."""
        return {"render_modes": list(self.render), "render_fps": self.render_fps}

    def check(self, render_mode: str | None) -> None:
        """Raise `ConfigurationError` for a render mode that there is not."""
        if render_mode is not None and render_mode not in self.render:
            raise ConfigurationError(
                f"render_mode is one of {', '.join(self.render) or 'none'}, not {render_mode!r}", field="render_mode"
            )

    def rendered(self, render_mode: str | None, observation: Any) -> Any:
        """The picture of an observation; ``None``, with a warning, without a mode."""
        if render_mode is None:
            gymnasium.logger.warn("render() was called without a render_mode: give one when the environment is made.")
            return None
        return self.render[render_mode](observation)


def ending_of(result: StepResult[Any]) -> tuple[bool, bool]:
    """Whether a step terminated, or truncated, its episode; where the dialect does not tell, all that is done is terminated."""
    if not result.done:
        return False, False
    truncated = bool(result.truncated)
    return bool(result.terminated) or not truncated, truncated


def reward_of(result: StepResult[Any]) -> float:
    """A step's reward; 0 where it has none."""
    return float(result.reward or 0.0)


def info_of(spaces: Spaces, result: StepResult[Any], episode_id: str | None, *, begun: bool = False) -> dict[str, Any]:
    """What is told beside an observation: ``episode_id``, ``metadata``, ``stop_reason`` where known, and what `Spaces` adds.

    Args:
        spaces: Its ``info`` is asked.
        result: The step's.
        episode_id: The episode's.
        begun: The observation is the first of its episode, and how the one before has ended does not belong to it.
    """
    info: dict[str, Any] = {}
    if episode_id is not None:
        info["episode_id"] = episode_id
    if result.metadata:
        info["metadata"] = dict(result.metadata)
    if result.stop_reason is not None and not begun:
        info["stop_reason"] = result.stop_reason
    if spaces.info is not None:
        info.update(spaces.info(result.observation))
    return info
