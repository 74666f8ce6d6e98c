"""The echo environment inline and from worker processes, and one that spins: what ``benchmarks.processes`` measures."""

from __future__ import annotations

import ctypes
import os
from typing import Any, ClassVar

from echo_env.environment import EchoEnvironment
from echo_env.models import EchoAction, EchoObservation
from openenv import create_app
from openenv.environment import Execution
from openenv.runtime.executors import Processes

SPIN = "spin"
DEATHS = {"segfault": "WORKER_CRASHED", "exit": "WORKER_CRASHED", "grow": "WORKER_MEMORY"}
"""What a message does to the world's process, and the code of the error that tells of it."""
MEMORY_MB = 256
LIMIT = "BENCH_HANG_LIMIT_S"
"""The variable with the hang limit."""


class FarEcho(EchoEnvironment):
    """Says it from a worker process."""

    execution: ClassVar[Execution] = "process"  # type: ignore[assignment]  # the base says a literal

    def step(self, action: EchoAction) -> EchoObservation:
        """Say the message back, or end the process in one of these ways, or never return from one call of C."""
        match action.message:
            case "spin":
                pow(7, 10**10)
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(3)
            case "grow":
                hoard = []
                while True:
                    hoard.append(b"x" * 2**22)
        return super().step(action)


def __getattr__(name: str) -> Any:
    """``near`` and ``far`` are the applications, ``bare_near`` and ``bare_far`` without middleware; a worker that loads this
    module makes none of them.
    """
    bare: dict[str, Any] = {"log": False, "metrics": False} if name.startswith("bare_") else {}
    match name.removeprefix("bare_"):
        case "near":
            return create_app(EchoEnvironment, env_name="echo", **bare)
        case "far":
            limit_s = float(os.environ.get(LIMIT, "30"))
            processes = Processes(20, spare=0, memory_mb=MEMORY_MB)
            return create_app(FarEcho, env_name="echo", processes=processes, hang_limit_s=limit_s, **bare)
    raise AttributeError(name)
