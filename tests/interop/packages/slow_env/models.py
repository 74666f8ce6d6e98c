"""What is asked of slow work, and what comes of it."""

from __future__ import annotations

from typing import Literal

from openenv.core.env_server import Action, Observation


class SlowAction(Action):
    """``meet`` returns once as many sessions are in it as ``company`` says."""

    what: Literal["work", "meet", "fail"] = "work"
    company: int = 2


class SlowObservation(Observation):
    """What happened."""

    note: str
    met: int = 0
    loop: bool = False
    threads: int = 0
