"""Why a worker process is lost: the limit that was passed or how it ended, and what its operator or caller can change."""

from __future__ import annotations

import math
import os
import signal
from typing import Final, Literal, NamedTuple

from openenv.errors import FactoryFailed, WorkerCrashed, WorkerMemory, WorkerTimeout

__all__ = ["NO_LIMIT", "Limit", "crashed", "hung", "none_loaded", "out_of_memory", "senseless"]

_AGAIN: Final = "Open a new session."


class Limit(NamedTuple):
    """How long something may take, and whose limit that is."""

    name: Literal["hang_limit_s", "deadline", "closed", "start_limit_s"]
    """The server's setting, the call's own deadline, or that the session was closed meanwhile."""
    seconds: float
    grace_s: float = 0.0
    """How much later the process is ended."""


NO_LIMIT: Final = Limit("hang_limit_s", math.inf)

_PASSED: Final = {
    "hang_limit_s": (
        "within {0:g} s, the server's hang_limit_s",
        "raise the server's limit, as in create_app(…, hang_limit_s=600)",
    ),
    "deadline": ("by the call's own deadline of {0:g} s, and {1:g} s after it", "call with a later deadline"),
    "start_limit_s": (
        "within {0:g} s, the server's start_limit_s",
        "raise the server's limit, as in processes=Processes(start_limit_s=300)",
    ),
    "closed": ("within {0:g} s after its session was closed", "close a session when its calls are answered"),
}


def hung(doing: str, limit: Limit) -> WorkerTimeout:
    """What was done took longer than it may."""
    when, advice = _PASSED[limit.name]
    return WorkerTimeout(
        f"The environment's {doing} did not return {when.format(limit.seconds, limit.grace_s)}; its process was ended, and its "
        "world is lost",
        hint=f"Open a new session; where the work is meant to take so long, {advice}.",
        details={"limit": limit.name, "limit_s": limit.seconds},
    )


def none_loaded(limit: Limit) -> FactoryFailed:
    """A process was not ready in time."""
    return FactoryFailed(
        f"A worker process did not load the environment within {limit.seconds:g} s, the server's start_limit_s",
        hint="Load less at the top of the environment's module, or raise the limit: processes=Processes(start_limit_s=300).",
        details={"limit": limit.name, "limit_s": limit.seconds},
    )


def out_of_memory(limit_mb: int) -> WorkerMemory:
    """It held more than it may."""
    return WorkerMemory(
        f"The environment held more than {limit_mb} MiB, its process_memory_mb; its worker process was ended, and its world "
        "is lost",
        hint="Open a new session; find what grows, or raise process_memory_mb of the environment's class, or memory_mb of the "
        "server's Processes, which goes before it.",
        details={"limit": "process_memory_mb", "limit_mb": limit_mb},
    )


def senseless(what: str) -> WorkerCrashed:
    """The environment has done something to its process that leaves no sense in going on with it."""
    return WorkerCrashed(f"The environment's worker process {what}; its world is lost", hint=_AGAIN)


def crashed(status: int) -> WorkerCrashed:
    """The process has ended with this status, as ``waitpid`` gives it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = _AGAIN
        if number == signal.SIGKILL:
            hint += " The server did not send it: where nobody else did, the system ran out of memory, and its log tells."
        return WorkerCrashed(
            f"The environment's worker process was ended by {name}; its world is lost", hint=hint, details={"signal": name}
        )
    code = os.WEXITSTATUS(status)
    return WorkerCrashed(
        f"The environment ended its worker process with exit code {code}; its world is lost",
        hint=_AGAIN,
        details={"exit_code": code},
    )
