"""Transforms that combine others, or do nothing."""

from __future__ import annotations

from typing import Any

from openenv.environment import Transform

__all__ = ["CompositeTransform", "NullTransform"]


class CompositeTransform(Transform[Any]):
    """Several transforms, one after the other."""

    def __init__(self, transforms: list[Transform[Any]]) -> None:
        self.transforms = transforms

    def __call__(self, observation: Any) -> Any:
        for transform in self.transforms:
            observation = transform(observation)
        return observation


class NullTransform(Transform[Any]):
    """Changes nothing."""

    def __call__(self, observation: Any) -> Any:
        return observation
