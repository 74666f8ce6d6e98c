"""The arguments that every client has: checked where they are given."""

from __future__ import annotations

import math

from openenv.errors import ConfigurationError

__all__ = ["positive", "size_in_bytes"]


def positive(name: str, value: float | None) -> float | None:
    """A number above 0; ``None``, and what is infinite, mean no limit. Raises `ConfigurationError` for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigurationError(
            f"{name} must be a number above 0, not {value!r}",
            field=name,
            hint="None means no limit, and a small number such as 0.001 hardly any at all.",
        )
    return None if math.isinf(value) else float(value)


def size_in_bytes(name: str, mebibytes: float | None) -> int | None:
    """A size in MiB as bytes; ``None`` means no limit."""
    limit = positive(name, mebibytes)
    return None if limit is None else max(1, int(limit * 2**20))
