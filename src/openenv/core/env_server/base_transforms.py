"""Transforms made of transforms, and the one that does nothing."""

from __future__ import annotations

from openenv.core.env_server.interfaces import Transform
from openenv.core.env_server.types import Observation

__all__ = ["CompositeTransform", "NullTransform"]


class CompositeTransform(Transform[Observation]):
    """One transform after the other."""

    def __init__(self, transforms: list[Transform[Observation]]) -> None:
        self.transforms = transforms

    def __call__(self, observation: Observation) -> Observation:
        """What comes out of the last one."""
        for transform in self.transforms:
            observation = transform(observation)
        return observation


class NullTransform(Transform[Observation]):
    """Leaves the observation as it is."""

    def __call__(self, observation: Observation) -> Observation:
        """The observation itself."""
        return observation
