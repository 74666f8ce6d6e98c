"""Rubrics that score an episode as a whole, when it is over."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from openenv.core.rubrics.base import Rubric, discard

__all__ = ["ExponentialDiscountingTrajectoryRubric", "TrajectoryRubric"]


class TrajectoryRubric(Rubric):
    """Keeps the steps, and scores them when an observation says ``done``; before that a step has the intermediate reward.

    The steps are kept until ``reset()``, as they are: a long episode with large observations takes their memory.
    """

    intermediate_reward: float
    _trajectory: list[tuple[Any, Any]]

    def __init__(self, intermediate_reward: float = 0.0) -> None:
        super().__init__()
        self.intermediate_reward = intermediate_reward
        self._trajectory = []

    def forward(self, action: Any, observation: Any) -> float:
        """Keep the step; its reward."""
        self._trajectory.append((action, observation))
        if not getattr(observation, "done", False):
            return self.intermediate_reward
        return self.score_trajectory(self._trajectory)

    @abstractmethod
    def score_trajectory(self, trajectory: list[tuple[Any, Any]]) -> float:
        """The score of an episode: its actions, each with the observation that answered it."""

    @abstractmethod
    def compute_step_rewards(self) -> list[float]:
        """What each step so far has earned, in their order."""

    @property
    def trajectory(self) -> list[tuple[Any, Any]]:
        """A copy of the steps so far: actions with their observations."""
        return list(self._trajectory)

    def reset(self) -> None:
        """Forget the steps, here and in the children."""
        self._trajectory = []
        return super().reset()

    def state_dict(self) -> dict[str, Any]:
        """The settings, without the steps."""
        return {"intermediate_reward": self.intermediate_reward}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take settings over; what ``state`` does not name stays."""
        self.intermediate_reward = state.get("intermediate_reward", self.intermediate_reward)


class ExponentialDiscountingTrajectoryRubric(TrajectoryRubric):
    """An episode's score, handed to its steps: of ``n``, step ``t`` (from 0) earns ``gamma ** (n - 1 - t)`` times the score."""

    gamma: float

    def __init__(self, gamma: float = 0.99, intermediate_reward: float = 0.0) -> None:
        """Raises `ValueError` unless gamma is from 0 to 1."""
        super().__init__(intermediate_reward)
        self.gamma = _fraction(gamma)

    def compute_step_rewards(self) -> list[float]:
        """What each step so far has earned. Raises `TypeError` where ``score_trajectory`` is asynchronous."""
        if not self._trajectory:
            return []
        score: Any = self.score_trajectory(self._trajectory)
        if inspect.isawaitable(score):
            discard([score])
            raise TypeError(
                f"{type(self).__name__}.score_trajectory is asynchronous, and compute_step_rewards cannot await it: "
                "override compute_step_rewards too, or make score_trajectory a plain function"
            )
        last = len(self._trajectory) - 1
        return [self.gamma ** (last - step) * score for step in range(last + 1)]

    def state_dict(self) -> dict[str, Any]:
        """The settings, without the steps."""
        return super().state_dict() | {"gamma": self.gamma}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take settings over; what ``state`` does not name stays. Raises `ValueError` unless gamma is from 0 to 1."""
        gamma = _fraction(state.get("gamma", self.gamma))
        super().load_state_dict(state)
        self.gamma = gamma


def _fraction(gamma: float) -> float:
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must be in [0, 1], got {gamma}")
    return gamma
