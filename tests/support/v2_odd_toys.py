"""An environment whose observations cannot be written, for the attacks on protocol v2, and applications that serve it."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import computed_field

from openenv import Action, Environment, Observation, State, create_app
from openenv.operation import RequestContext

__all__ = ["Odd", "OddInline"]


class Do(Action):
    what: str = "nothing"
    gate: str | None = None


class Seen(Observation):
    blob: Any = None
    cross: bool = False

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mood(self) -> int:
        """Cannot be told by everybody."""
        return 1 // (not self.cross)


class Odd(Environment[Do, Seen, State]):
    """Returns what it is asked for; on a thread."""

    snapshot_version: ClassVar[int] = 1

    def reset(self) -> Seen:
        return Seen()

    def step(self, action: Do) -> Seen:
        while action.gate is not None and not Path(action.gate).exists():
            time.sleep(0.005)
        seen: Seen = _SEEN[action.what]()
        return seen

    def snapshot(self) -> bytes:
        return b""

    def restore(self, image: bytes) -> None:
        """Nothing is kept."""

    def reseed(self, seed: int) -> None:
        """There is no chance in it."""


class Misnamed(Odd):
    @classmethod
    def world_name(cls, context: RequestContext) -> str | None:
        return f"world {1 // int(context.query['number'])}" if "number" in context.query else None


class OddInline(Odd):
    execution = "inline"


class Brittle(OddInline):
    """Every second one of a process cannot be made."""

    made = itertools.count(1)

    def __init__(self) -> None:
        if next(self.made) % 2 == 0:
            raise RuntimeError("this one cannot be made")


def _nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


_SEEN: dict[str, Any] = {
    "nothing": Seen,
    "bytes": lambda: Seen(blob=b"\xff\xfe"),
    "object": lambda: Seen(blob=object()),
    "cross": lambda: Seen(cross=True),
    "nested": lambda: Seen(blob=_nested(220)),
    "bottomless": lambda: Seen(blob=_nested(100_000)),
    "metadata": lambda: Seen(metadata={"object": object()}),
}

odd_app = create_app(Odd, env_name="odd", resume_lease_s=0.5)
inline_app = create_app(OddInline, env_name="odd")
brittle_app = create_app(Brittle, env_name="odd")
misnamed_app = create_app(Misnamed, env_name="misnamed")
