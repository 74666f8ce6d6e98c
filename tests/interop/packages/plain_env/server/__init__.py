"""The sentence's server."""

from .plain_environment import PlainEnvironment

__all__ = ["PlainEnvironment"]
