"""An environment that gives back what it is given: bytes, and arrays."""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from openenv import Action, Environment, Observation, State, create_app
from openenv.arrays import Array
from openenv.environment import Execution
from openenv.types import Binary


class Show(Action):
    """Something to look at."""

    picture: Annotated[Binary, Field(max_length=100_000)] = b""
    pixels: Annotated[npt.NDArray[np.uint8], Array("uint8", (2, None, 3))] | None = None
    vector: Annotated[npt.NDArray[np.float32], Array("float32")] | None = None


class Shown(Observation):
    """The same, and what it weighs."""

    picture: Binary
    pixels: Annotated[npt.NDArray[np.uint8], Array("uint8", (2, None, 3))] | None = None
    vector: Annotated[npt.NDArray[np.float32], Array("float32")] | None = None
    places: dict[int, str] = {}
    digest: str = ""


class Album(State):
    """The last picture."""

    picture: Binary = b""
    vector: Annotated[npt.NDArray[np.float32], Array("float32")] | None = None


class Mirror(Environment[Show, Shown, Album]):
    """Gives back what it is given."""

    execution: ClassVar[Execution] = "inline"

    def __init__(self) -> None:
        self.last = Show()

    def reset(self, *, seed: int | None = None) -> Shown:
        self.last = Show()
        return Shown(picture=bytes(range(256)))

    def step(self, action: Show) -> Shown:
        self.last = action
        digest = hashlib.sha256(action.picture)
        for array in (action.pixels, action.vector):
            digest.update(b"" if array is None else array.tobytes())
        given = {"picture": action.picture, "pixels": action.pixels, "vector": action.vector}
        return Shown(**given, places={7: "seven"}, digest=digest.hexdigest())

    @property
    def state(self) -> Album:
        return Album(
            episode_id=self.episode_id,
            step_count=self.step_count,
            picture=self.last.picture,
            vector=self.last.vector,
        )


class MirrorElsewhere(Mirror):
    """The same in a worker process."""

    execution: ClassVar[Execution] = "process"


app = create_app(Mirror, env_name="mirror", state_type=Album)
process_app = create_app(MirrorElsewhere, env_name="mirror", state_type=Album)
